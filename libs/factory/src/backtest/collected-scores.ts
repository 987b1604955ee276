import type { Decision } from '@drover/detection';
import type { RecordingRow } from '@drover/recordings';
import type { BacktestSink } from './run-backtest.ts';

/** What a backtest said of a recording, row by row, with its labels: to be measured. */
export class CollectedScores implements BacktestSink<RecordingRow> {
  /** Milliseconds. */
  readonly timesMs: number[] = [];
  /** 1: anomalous; 0 where there are no labels. */
  readonly labels: number[] = [];
  /** What the policy compared with its threshold; NaN where nothing was decided. */
  readonly compared: number[] = [];
  readonly thresholds: number[] = [];
  /** 1 while an alarm is on. */
  readonly alarms: number[] = [];
  /** 1 where an alarm began. */
  readonly onsets: number[] = [];
  #compared = Number.NaN;
  #threshold = Number.NaN;
  #active = false;
  #onset = false;

  decide({ compared, threshold, active, onset }: Readonly<Decision>): void {
    this.#compared = compared;
    this.#threshold = threshold;
    this.#active = active;
    this.#onset = onset;
  }

  gap(): void {
    this.#compared = Number.NaN;
    this.#threshold = Number.NaN;
    this.#active = false;
    this.#onset = false;
  }

  row({ timeMs, label }: RecordingRow): void {
    this.timesMs.push(timeMs);
    this.labels.push(label ?? 0);
    this.compared.push(this.#compared);
    this.thresholds.push(this.#threshold);
    this.alarms.push(this.#active ? 1 : 0);
    this.onsets.push(this.#onset ? 1 : 0);
    this.#onset = false;
  }
}
