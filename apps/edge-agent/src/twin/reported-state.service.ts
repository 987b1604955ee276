import type { ReportedState } from '@drover/contracts';
import { messageOf } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import type { EventReporter } from '../telemetry/event-reporter.ts';

export interface ReportedStateParts {
  readonly build: () => Promise<ReportedState>;
  readonly reporter: Pick<EventReporter, 'reported'>;
  readonly logger: Logger;
  readonly timing?: ReportedStateTiming;
}

export interface ReportedStateTiming {
  /** Several changes within this time are one report. */
  readonly settleMs: number;
  /** What has just changed has no figures yet: they follow after this time. */
  readonly figuresMs: number;
  readonly everyMs: number;
}

const DEFAULT_TIMING: ReportedStateTiming = { settleMs: 100, figuresMs: 5_000, everyMs: 60_000 };

/**
 * Reports what the device is: soon after a change, with its figures a little later, and every minute for what changes all
 * the time (counters, latency).
 */
export class ReportedStateService {
  readonly #parts: ReportedStateParts;
  readonly #timing: ReportedStateTiming;
  #running = false;
  #soon: NodeJS.Timeout | undefined;
  #figures: NodeJS.Timeout | undefined;
  #regularly: NodeJS.Timeout | undefined;
  #told = '';

  constructor(parts: ReportedStateParts) {
    this.#parts = parts;
    this.#timing = parts.timing ?? DEFAULT_TIMING;
  }

  start(): void {
    this.#running = true;
    this.#regularly = setInterval(() => void this.#report(true), this.#timing.everyMs);
    void this.#report(true);
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#soon);
    clearTimeout(this.#figures);
    clearInterval(this.#regularly);
  }

  /** Something may have changed. */
  changed(): void {
    if (!this.#running) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      void this.#report(false);
    }, this.#timing.settleMs);
  }

  async #report(always: boolean): Promise<void> {
    try {
      const reported = await this.#parts.build();
      const lasting = lastingPart(reported);
      const changed = lasting !== this.#told;
      if (!this.#running || (!always && !changed)) return;
      this.#told = lasting;
      this.#parts.reporter.reported(reported);
      if (!changed) return;
      clearTimeout(this.#figures);
      this.#figures = setTimeout(() => void this.#report(true), this.#timing.figuresMs);
    } catch (error) {
      // While stopping, the parts that are asked may be gone already.
      if (this.#running) this.#parts.logger.warn({}, `the device's state was not reported: ${messageOf(error)}`);
    }
  }
}

/** Without what changes with every sample. */
function lastingPart(reported: ReportedState): string {
  const pipelines = Object.entries(reported.pipelines).map(([name, pipeline]) => [
    name,
    { ...pipeline, latency: null, windows: 0, lastScoreAt: null },
  ]);
  return JSON.stringify({ ...reported, pipelines, store: null });
}
