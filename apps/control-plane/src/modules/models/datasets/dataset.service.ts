import type { BodyOf, Dataset, QueryOf, api } from '@drover/contracts';
import { InvalidInputError, newId } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { ConflictError, NotFoundError } from '../../../platform/http/errors.ts';
import { Queues } from '../../../platform/queue/queues.ts';
import { ArtifactRepository } from '../artifacts/artifact.repository.ts';
import { DatasetRepository } from './dataset.repository.ts';
import type { NewDataset } from './dataset.repository.ts';

export const DATASET_QUEUE = 'datasets';
export const VALIDATE_JOB = 'validate';

/** What operators ask of datasets. Their validation is the processor's. */
@Injectable()
export class DatasetService {
  constructor(
    private readonly database: Database,
    private readonly datasets: DatasetRepository,
    private readonly artifacts: ArtifactRepository,
    private readonly queues: Queues,
    private readonly events: EventOutbox,
  ) {}

  list(
    fleet: string,
    query: QueryOf<typeof api.datasets.list>,
  ): Promise<{ items: Dataset[]; nextCursor: string | null }> {
    return this.datasets.list(fleet, query);
  }

  /** @throws NotFoundError */
  async get(fleet: string, id: string): Promise<Dataset> {
    const dataset = await this.datasets.find(fleet, id);
    if (!dataset) throw NotFoundError.of('dataset', id);
    return dataset;
  }

  /**
   * A dataset of artifacts, to be validated.
   *
   * @throws InvalidInputError naming every artifact that is not there, and every name that two files have
   */
  async create(fleet: string, input: BodyOf<typeof api.datasets.create>): Promise<Dataset> {
    const { name, files, options } = input;
    const problems: FieldProblem[] = [];
    const names = new Set<string>();
    for (const [i, file] of files.entries()) {
      if (!(await this.artifacts.find(fleet, file.artifact)))
        problems.push({
          path: `files.${i}.artifact`,
          message: 'there is no such artifact in this fleet; upload it first',
        });
      if (names.has(file.name)) problems.push({ path: `files.${i}.name`, message: 'another file has this name' });
      names.add(file.name);
    }
    if (problems.length > 0)
      throw new InvalidInputError(problems.map((p) => `${p.path}: ${p.message}`).join('; '), { problems });
    const dataset = await this.database.transaction((tx) =>
      this.add(tx, fleet, { id: newId('dat'), name, files, options, capture: null }),
    );
    // Only a shortcut: where it fails, the reconciler makes the job of the row.
    await this.enqueue(fleet, dataset.id).catch(() => undefined);
    return dataset;
  }

  /** Enters a dataset whose artifacts are there. Somebody enqueues its validation after the transaction. */
  async add(tx: Transaction, fleet: string, dataset: NewDataset): Promise<Dataset> {
    const created = await this.datasets.create(tx, fleet, dataset);
    const { name, capture, files } = created;
    await this.events.append(tx, {
      fleet,
      type: 'dataset.created',
      subject: created.id,
      data: { name, capture, files: files.length },
    });
    return created;
  }

  enqueue(fleet: string, id: string): Promise<void> {
    return this.queues.add(DATASET_QUEUE, VALIDATE_JOB, { fleet, id }, { jobId: `${fleet}.${id}` });
  }

  /** @throws NotFoundError, ConflictError while a build uses it */
  async delete(fleet: string, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      if (!(await this.datasets.lock(tx, fleet, id))) throw NotFoundError.of('dataset', id);
      const builds = await this.datasets.usedBy(tx, fleet, id);
      if (builds.length > 0)
        throw new ConflictError(`Build ${builds.join(', ')} uses the dataset; wait for its end or cancel it.`);
      await this.datasets.delete(tx, fleet, id);
      await this.events.append(tx, { fleet, type: 'dataset.deleted', subject: id });
    });
  }
}
