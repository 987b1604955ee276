import { OperationError, messageOf, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import type { BuildProgress, BuildRepository, BuildRun } from './build.repository.ts';

/** The build is not this run's any more: it was cancelled, or another worker took it over. */
export class BuildLostError extends OperationError {}

/** Progress is written this often at most; the lease is renewed with it. */
const RENEW_EVERY_MS = 500;
/** Without any news the lease is renewed this often. */
const QUIET_RENEW_MS = 3_000;
export const LEASE_MS = 15_000;

/** Holds a build while a run works on it, and writes how far it is at a bounded rate. */
export class BuildLease {
  readonly #builds: BuildRepository;
  readonly #run: BuildRun;
  readonly #logger: Logger;
  readonly #lost = new AbortController();
  #latest: BuildProgress = { progress: 0, phase: 'starting', loss: null };
  #changed = false;
  #renewedAt = performance.now();

  constructor(builds: BuildRepository, run: BuildRun, logger: Logger) {
    this.#builds = builds;
    this.#run = run;
    this.#logger = logger;
  }

  /** Aborts when the build is not this run's any more. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  report(progress: BuildProgress): void {
    this.#latest = progress;
    this.#changed = true;
  }

  /** Somebody else says that it is over. */
  giveUp(): void {
    this.#lost.abort(new BuildLostError('The build was cancelled.'));
  }

  /** Keeps the lease until the signal aborts; `onWritten` is told of progress as it was stored. */
  async keep(signal: AbortSignal, onWritten: (progress: BuildProgress) => Promise<void>): Promise<void> {
    while (!signal.aborted && !this.lost.aborted) {
      await sleep(RENEW_EVERY_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      const now = performance.now();
      if (!this.#changed && now - this.#renewedAt < QUIET_RENEW_MS) continue;
      const progress = this.#latest;
      const changed = this.#changed;
      this.#changed = false;
      try {
        if (!(await this.#builds.renew(this.#run, LEASE_MS, progress))) {
          this.#lost.abort(new BuildLostError('Another worker has the build.'));
          return;
        }
        this.#renewedAt = now;
        if (changed) await onWritten(progress);
      } catch (error) {
        // The database is away: the build goes on, and ends without effect where the lease is lost meanwhile.
        this.#logger.debug({ build: this.#run.id, err: messageOf(error) }, 'Progress of a build could not be written');
      }
    }
  }
}
