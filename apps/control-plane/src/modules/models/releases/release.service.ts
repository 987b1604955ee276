import type { QueryOf, Release, ResponseOf, Training, api } from '@drover/contracts';
import { InvalidInputError, newId } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { ConflictError, NotFoundError } from '../../../platform/http/errors.ts';
import { Queues } from '../../../platform/queue/queues.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import { ArtifactRepository } from '../artifacts/artifact.repository.ts';
import { ModelRepository } from '../model.repository.ts';
import { ReleaseRepository } from './release.repository.ts';

export const BUILD_QUEUE = 'release-builds';
export const BUILD_JOB = 'build';

@Injectable()
export class ReleaseService {
  constructor(
    private readonly database: Database,
    private readonly releases: ReleaseRepository,
    private readonly models: ModelRepository,
    private readonly artifacts: ArtifactRepository,
    private readonly store: ArtifactStore,
    private readonly queues: Queues,
    private readonly events: EventOutbox,
  ) {}

  list(
    fleet: string,
    query: QueryOf<typeof api.releases.list>,
  ): Promise<{ items: Release[]; nextCursor: string | null }> {
    return this.releases.list(fleet, query);
  }

  /** @throws NotFoundError */
  async get(fleet: string, id: string): Promise<Release> {
    const release = await this.releases.find(fleet, id);
    if (!release) throw NotFoundError.of('release', id);
    return release;
  }

  /**
   * Begins to train a release.
   *
   * @throws NotFoundError for the model, InvalidInputError naming every recording that is not there, or that would be measured on
   *   what was trained on
   */
  async create(fleet: string, model: string, training: Training): Promise<Release> {
    if (!(await this.models.find(fleet, model))) throw NotFoundError.of('model', model);
    await this.#requireRecordings(fleet, training);
    const release = await this.database.transaction(async (tx) => {
      const created = await this.releases.create(tx, fleet, newId('rel'), model, training);
      await this.events.append(tx, {
        fleet,
        type: 'release.created',
        subject: created.id,
        data: { model, version: created.version },
      });
      return created;
    });
    // Only a shortcut: where it fails, the reconciler makes the job of the row.
    await this.enqueueBuild(fleet, release.id).catch(() => undefined);
    return release;
  }

  enqueueBuild(fleet: string, id: string): Promise<void> {
    return this.queues.add(BUILD_QUEUE, BUILD_JOB, { fleet, id }, { jobId: `${fleet}.${id}` });
  }

  /** @throws NotFoundError, ConflictError while it is not READY */
  async manifest(fleet: string, id: string): Promise<ResponseOf<typeof api.releases.manifest>> {
    const release = await this.get(fleet, id);
    if (release.manifestDigest === null)
      throw new ConflictError(`The release "${id}" has no manifest: its status is ${release.status}.`);
    const bytes = await this.store.read(release.manifestDigest);
    return JSON.parse(bytes.toString('utf8')) as ResponseOf<typeof api.releases.manifest>;
  }

  async #requireRecordings(fleet: string, { source, evaluation, trainRows }: Training): Promise<void> {
    const trained = source.kind === 'recordings' ? source.artifacts : [];
    const named = [
      ...trained.map((digest, i) => ({ path: `training.source.artifacts.${i}`, digest, reused: false })),
      ...evaluation.map((digest, i) => ({
        path: `training.evaluation.${i}`,
        digest,
        reused: trainRows === undefined && trained.includes(digest),
      })),
    ];
    const problems: FieldProblem[] = [];
    for (const { path, digest, reused } of named) {
      if (!(await this.artifacts.find(fleet, digest)))
        problems.push({ path, message: 'there is no such artifact in this fleet; upload it first' });
      else if (reused)
        problems.push({
          path,
          message: 'is trained on as a whole; give training.trainRows to measure on the rows after them',
        });
    }
    if (problems.length > 0) {
      const message = problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ');
      throw new InvalidInputError(message, { problems });
    }
  }
}
