import type { Build, BuildRequest, QueryOf, api } from '@drover/contracts';
import { newId } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { ConflictError, NotFoundError } from '../../../platform/http/errors.ts';
import { Queues } from '../../../platform/queue/queues.ts';
import { ModelRepository } from '../model.repository.ts';
import { ReleaseRepository } from '../releases/release.repository.ts';
import { BuildInputs } from './build-inputs.service.ts';
import { BuildRepository } from './build.repository.ts';

export const BUILD_QUEUE = 'builds';
export const BUILD_JOB = 'build';

/** What operators ask of builds. What happens by itself is the processor's. */
@Injectable()
export class BuildService {
  constructor(
    private readonly database: Database,
    private readonly builds: BuildRepository,
    private readonly releases: ReleaseRepository,
    private readonly models: ModelRepository,
    private readonly inputs: BuildInputs,
    private readonly queues: Queues,
    private readonly events: EventOutbox,
  ) {}

  list(fleet: string, query: QueryOf<typeof api.builds.list>): Promise<{ items: Build[]; nextCursor: string | null }> {
    return this.builds.list(fleet, query);
  }

  /** @throws NotFoundError */
  async get(fleet: string, id: string): Promise<Build> {
    const build = await this.builds.find(fleet, id);
    if (!build) throw NotFoundError.of('build', id);
    return build;
  }

  /**
   * Begins to make a release.
   *
   * @throws NotFoundError for the model, InvalidInputError naming everything that it cannot be made of
   */
  async create(fleet: string, request: BuildRequest): Promise<Build> {
    if (!(await this.models.find(fleet, request.model))) throw NotFoundError.of('model', request.model);
    const datasets = await this.inputs.require(fleet, request);
    const build = await this.database.transaction(async (tx) => {
      if (!(await this.builds.holdDatasets(tx, fleet, datasets)))
        throw new ConflictError('A dataset of the build was removed meanwhile.');
      const family = request.training?.family ?? 'import';
      const release = await this.releases.create(tx, fleet, newId('rel'), request.model, family);
      const created = await this.builds.create(tx, fleet, {
        id: newId('bld'),
        release: release.id,
        request,
        datasets,
      });
      const { model } = request;
      await this.events.append(
        tx,
        {
          fleet,
          type: 'release.created',
          subject: release.id,
          data: { model, version: release.version, build: created.id },
        },
        { fleet, type: 'build.created', subject: created.id, data: { model, release: release.id } },
      );
      return created;
    });
    // Only a shortcut: where it fails, the reconciler makes the job of the row.
    await this.enqueue(fleet, build.id).catch(() => undefined);
    return build;
  }

  enqueue(fleet: string, id: string): Promise<void> {
    return this.queues.add(BUILD_QUEUE, BUILD_JOB, { fleet, id }, { jobId: `${fleet}.${id}` });
  }

  /**
   * Stops a build, whichever process works on it: that one is told by the event, and may write nothing any more. Asking twice is
   * asking once.
   *
   * @throws NotFoundError, ConflictError where it has ended otherwise
   */
  async cancel(fleet: string, id: string): Promise<Build> {
    await this.database.transaction(async (tx) => {
      const build = await this.builds.lock(tx, fleet, id);
      if (!build) throw NotFoundError.of('build', id);
      if (build.status === 'CANCELED') return;
      if (!(await this.builds.end(tx, fleet, id, null, { status: 'CANCELED' })))
        throw new ConflictError(`The build has ended: it is ${build.status}.`);
      await this.releases.ended(tx, fleet, build.release, 'CANCELED');
      await this.events.append(
        tx,
        { fleet, type: 'build.canceled', subject: id, data: { release: build.release } },
        { fleet, type: 'release.canceled', subject: build.release, data: { build: id } },
      );
    });
    return this.get(fleet, id);
  }
}
