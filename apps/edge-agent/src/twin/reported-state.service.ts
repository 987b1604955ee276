import type { ReportedState } from '@drover/contracts';
import type { EventReporter } from '../telemetry/event-reporter.ts';

export interface ReportedStateParts {
  readonly build: () => ReportedState | Promise<ReportedState>;
  readonly reporter: Pick<EventReporter, 'reported'>;
  /** Default: a minute. */
  readonly everyMs?: number;
}

/** Several changes of a moment are one report. */
const SETTLE_MS = 100;

/** Reports what the device is: soon after a change, and every minute for what changes all the time (counters, latency). */
export class ReportedStateService {
  readonly #parts: ReportedStateParts;
  #soon: NodeJS.Timeout | null = null;
  #regularly: NodeJS.Timeout | null = null;
  #told = '';

  constructor(parts: ReportedStateParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#regularly = setInterval(() => void this.#report(true), this.#parts.everyMs ?? 60_000);
    void this.#report(true);
  }

  stop(): void {
    if (this.#soon !== null) clearTimeout(this.#soon);
    if (this.#regularly !== null) clearInterval(this.#regularly);
    this.#soon = null;
    this.#regularly = null;
  }

  /** Something may have changed. */
  changed(): void {
    if (this.#regularly === null) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = null;
      void this.#report(false);
    }, SETTLE_MS);
  }

  async #report(always: boolean): Promise<void> {
    const reported = await this.#parts.build();
    const lasting = lastingPart(reported);
    if (!always && lasting === this.#told) return;
    if (this.#regularly === null) return;
    this.#told = lasting;
    this.#parts.reporter.reported(reported);
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
