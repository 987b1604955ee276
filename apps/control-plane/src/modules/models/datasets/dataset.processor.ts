import type { Dataset, DatasetReport } from '@drover/contracts';
import { DroverError, messageOf } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { Database } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { Metrics } from '../../../platform/metrics.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { Queues } from '../../../platform/queue/queues.ts';
import { reconcileEvery } from '../../../platform/queue/reconcile.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import { ThreadRefusedError, runThread } from '../../../platform/threads/thread-job.ts';
import { DatasetRepository } from './dataset.repository.ts';
import { DATASET_QUEUE, DatasetService, VALIDATE_JOB } from './dataset.service.ts';
import type { ValidationRequest } from './dataset-validation.worker.ts';

const SUFFIX = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const THREAD = new URL(`./dataset-validation.worker.${SUFFIX}`, import.meta.url);
/** Validation streams: what needs more is no recording. */
const MAX_MEMORY_BYTES = 512 * 2 ** 20;
/** Starts that end by the world, not by the data, before a dataset is given up. */
const MAX_ATTEMPTS = 3;
/** Errors of the report that are told with the dataset; the rest is in the report. */
const TOLD = 3;

/** Validates datasets from their rows. Two workers on one do no harm: the first that ends it counts. */
@Injectable()
export class DatasetProcessor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stopping = new AbortController();
  readonly #outcomes;
  #loop: Promise<void> | undefined;

  constructor(
    private readonly config: Config,
    private readonly database: Database,
    private readonly queues: Queues,
    private readonly service: DatasetService,
    private readonly datasets: DatasetRepository,
    private readonly store: ArtifactStore,
    private readonly events: EventOutbox,
    metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.#outcomes = metrics.counter('dataset_validations_total', 'Datasets validated here, by what they are', [
      'outcome',
    ]);
  }

  onApplicationBootstrap(): void {
    if (!this.config.hasRole('worker')) return;
    this.queues.process(DATASET_QUEUE, 1, {
      [VALIDATE_JOB]: ({ fleet, id }, signal) => this.validate(String(fleet), String(id), signal),
    });
    this.#loop = this.#reconcile();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** One validation, from the row. Does nothing where it has ended. */
  async validate(fleet: string, id: string, signal: AbortSignal): Promise<void> {
    const begun = await this.datasets.begin(fleet, id);
    if (!begun) return;
    const { dataset, attempts } = begun;
    const stopping = AbortSignal.any([signal, this.#stopping.signal]);
    const timeout = AbortSignal.timeout(this.config.queue.DROVER_BUILD_TIMEOUT);
    try {
      const request: ValidationRequest = {
        files: dataset.files.map(({ name, artifact }) => ({ name, path: this.store.path(artifact) })),
        options: dataset.options,
      };
      const report = await runThread<DatasetReport>(THREAD, request, {
        maxMemoryBytes: MAX_MEMORY_BYTES,
        signal: AbortSignal.any([stopping, timeout]),
      });
      await this.#end(fleet, id, report, errorIn(report));
    } catch (error) {
      if (stopping.aborted) return;
      const reason = timeout.aborted ? 'validation-timed-out' : finalReasonOf(error);
      if (reason === undefined && attempts < MAX_ATTEMPTS) throw error;
      this.logger.warn({ fleet, dataset: id, err: messageOf(error) }, 'A dataset could not be validated');
      await this.#end(fleet, id, null, { code: reason ?? 'validation-failed', message: messageOf(error) });
    }
  }

  async #end(fleet: string, id: string, report: DatasetReport | null, error: Dataset['error']): Promise<void> {
    const ended = await this.database.transaction(async (tx) => {
      if (!(await this.datasets.ended(tx, fleet, id, report, error))) return false;
      await this.events.append(
        tx,
        error
          ? { fleet, type: 'dataset.invalid', subject: id, data: { ...error } }
          : { fleet, type: 'dataset.ready', subject: id, data: { rows: report?.rows ?? 0 } },
      );
      return true;
    });
    if (ended) this.#outcomes.inc({ outcome: error ? 'invalid' : 'ready' });
  }

  /** Derives missing jobs from rows. */
  #reconcile(): Promise<void> {
    const { signal } = this.#stopping;
    const once = async (): Promise<void> => {
      for (const { fleet, id } of await this.datasets.validating()) await this.service.enqueue(fleet, id);
    };
    return reconcileEvery(this.config.queue.DROVER_RECONCILE_EVERY, once, {
      what: 'Datasets',
      signal,
      logger: this.logger,
    });
  }
}

/** Why it cannot be trained on; null where it can. */
function errorIn(report: DatasetReport): Dataset['error'] {
  const errors = report.problems.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return null;
  const told = errors.slice(0, TOLD).map(({ file, message }) => (file === null ? message : `${file}: ${message}`));
  const more = errors.length > TOLD ? ` (and ${errors.length - TOLD} more, see the report)` : '';
  return { code: 'dataset-invalid', message: `${told.join('; ')}${more}` };
}

/** Why no further start can do better; undefined where one may. */
function finalReasonOf(error: unknown): string | undefined {
  if (error instanceof ThreadRefusedError) return error.reason;
  return error instanceof DroverError && error.fault === 'caller' ? error.code : undefined;
}
