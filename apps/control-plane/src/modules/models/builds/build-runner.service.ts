import type { Build } from '@drover/contracts';
import { DroverError, OperationError, messageOf, newId } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { Database } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { Metrics } from '../../../platform/metrics.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { ThreadRefusedError, runThread } from '../../../platform/threads/thread-job.ts';
import { ReleaseRepository } from '../releases/release.repository.ts';
import { BuildInputs } from './build-inputs.service.ts';
import { BuildLease, LEASE_MS } from './build-lease.ts';
import { BuildPublication } from './build-publication.service.ts';
import { BuildRepository } from './build.repository.ts';
import type { BuildProgress, BuildRun } from './build.repository.ts';
import type { BuildThreadProgress, BuildThreadResult } from './build-thread.ts';
import { ProgressNews } from './progress-news.ts';

/** Starts that end by the world, not by the data, before a build is given up. */
const MAX_ATTEMPTS = 3;
const SUFFIX = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const THREAD = new URL(`./build.worker.${SUFFIX}`, import.meta.url);

/** It took longer than it may. */
class BuildTimedOutError extends OperationError {}

/** Makes a release of a build's row: one run at a time holds it, in a thread of its own. */
@Injectable()
export class BuildRunner {
  readonly #running = new Map<string, BuildLease>();
  readonly #outcomes;
  readonly #seconds;

  constructor(
    private readonly config: Config,
    private readonly database: Database,
    private readonly builds: BuildRepository,
    private readonly releases: ReleaseRepository,
    private readonly inputs: BuildInputs,
    private readonly publication: BuildPublication,
    private readonly events: EventOutbox,
    metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.#outcomes = metrics.counter('build_runs_total', 'Runs of builds that ended here, by how', ['outcome']);
    this.#seconds = metrics.histogram('build_run_seconds', 'Time that runs of builds took', [1, 5, 15, 60, 300, 1_800]);
  }

  /** Ends the run of a build, where there is one here: its thread is terminated and what it made is dropped. */
  cancel(fleet: string, id: string): void {
    this.#running.get(`${fleet}/${id}`)?.giveUp();
  }

  /**
   * One start of a build. Does nothing where it has ended, or another worker has it. When `signal` aborts it is given back, to be
   * started over.
   *
   * @throws what is not the data's fault, while there are starts left: to be tried again
   */
  async run(fleet: string, id: string, signal: AbortSignal): Promise<void> {
    const run: BuildRun = { fleet, id, holder: newId('run') };
    const build = await this.#take(run);
    if (!build) return;
    const lease = new BuildLease(this.builds, run, this.logger);
    this.#running.set(`${fleet}/${id}`, lease);
    const over = new AbortController();
    const news = new ProgressNews();
    const kept = lease.keep(over.signal, (progress) => this.#tell(run, news, progress));
    const startedAt = performance.now();
    let outcome = 'succeeded';
    try {
      const built = await this.#build(fleet, build, lease, signal);
      if (!(await this.publication.publish(run, build, built))) outcome = 'lost';
    } catch (error) {
      if (signal.aborted) {
        outcome = 'interrupted';
        await this.builds.release(run).catch(() => undefined);
      } else if (lease.lost.aborted) {
        outcome = 'lost';
      } else {
        outcome = 'failed';
        await this.#failed(run, build, error);
      }
    } finally {
      over.abort();
      await kept;
      this.#running.delete(`${fleet}/${id}`);
      this.#outcomes.inc({ outcome });
      this.#seconds.observe((performance.now() - startedAt) / 1_000);
    }
  }

  /** @returns null where there is nothing to run */
  async #take(run: BuildRun): Promise<Build | null> {
    const { fleet, id } = run;
    const build = await this.database.transaction(async (tx) => {
      const taken = await this.builds.take(tx, run, LEASE_MS);
      if (!taken || taken.attempts > MAX_ATTEMPTS) return taken;
      const data = { release: taken.release, attempt: taken.attempts };
      await this.events.append(tx, { fleet, type: 'build.started', subject: id, data });
      return taken;
    });
    if (!build || build.attempts <= MAX_ATTEMPTS) return build;
    const message = `It was started ${MAX_ATTEMPTS} times, and each time its worker was lost before the end.`;
    await this.#end(run, build, 'worker-lost', message);
    return null;
  }

  async #build(fleet: string, build: Build, lease: BuildLease, signal: AbortSignal): Promise<BuildThreadResult> {
    const { DROVER_BUILD_TIMEOUT: limitMs, DROVER_BUILD_MEMORY: maxMemoryBytes } = this.config.queue;
    const timeout = AbortSignal.timeout(limitMs);
    const ending = AbortSignal.any([signal, lease.lost, timeout]);
    try {
      const request = await this.inputs.read(fleet, build.request);
      return await runThread<BuildThreadResult, BuildThreadProgress>(THREAD, request, {
        maxMemoryBytes,
        onProgress: (progress) => lease.report(progress),
        signal: ending,
      });
    } catch (error) {
      if (ending.reason !== timeout.reason || !timeout.aborted) throw error;
      throw new BuildTimedOutError(`It took longer than ${limitMs} ms, the limit that DROVER_BUILD_TIMEOUT sets.`);
    }
  }

  async #tell({ fleet, id }: BuildRun, news: ProgressNews, progress: BuildProgress): Promise<void> {
    if (!news.isNews(progress)) return;
    await this.database.transaction((tx) =>
      this.events.append(tx, { fleet, type: 'build.progress', subject: id, data: { ...progress } }),
    );
  }

  /** Bad data stays bad; anything else is tried again, a few times. */
  async #failed(run: BuildRun, build: Build, error: unknown): Promise<void> {
    const reason = finalReasonOf(error);
    if (reason === undefined && build.attempts < MAX_ATTEMPTS) {
      await this.builds.release(run);
      throw error;
    }
    await this.#end(run, build, reason ?? 'build-failed', messageOf(error));
  }

  async #end({ fleet, id, holder }: BuildRun, { release }: Build, code: string, message: string): Promise<void> {
    this.logger.warn({ fleet, build: id, release, code, err: message }, 'A release could not be built');
    await this.database.transaction(async (tx) => {
      if (!(await this.builds.end(tx, fleet, id, holder, { status: 'FAILED', code, message }))) return;
      await this.releases.ended(tx, fleet, release, 'FAILED');
      await this.events.append(
        tx,
        { fleet, type: 'build.failed', subject: id, data: { release, code, message } },
        { fleet, type: 'release.failed', subject: release, data: { build: id, code, message } },
      );
    });
  }
}

/** Why no further start can do better; undefined where one may. */
function finalReasonOf(error: unknown): string | undefined {
  if (error instanceof ThreadRefusedError) return error.reason;
  if (error instanceof BuildTimedOutError) return error.code;
  return error instanceof DroverError && error.fault === 'caller' ? error.code : undefined;
}
