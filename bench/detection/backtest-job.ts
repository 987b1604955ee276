import type { TrainRows } from '@drover/factory';

/** One family on some files, each trained on its own first rows. */
export interface BacktestJob {
  readonly family: string;
  readonly seed: number;
  readonly files: readonly { readonly path: string; readonly train: TrainRows }[];
}

/** What `drover backtest` says of one file, and its labels. */
export interface FileScores {
  readonly path: string;
  /** Milliseconds. */
  readonly timesMs: Float64Array;
  readonly labels: Uint8Array;
  /** NaN where nothing was decided. */
  readonly compared: Float64Array;
  readonly alarms: Uint8Array;
  readonly onsets: Uint8Array;
  readonly trainedRows: number;
  readonly trainMs: number;
  readonly family: string;
  /** What `auto` took, where it had a choice. */
  readonly picked: string | null;
  /** Why it could not be trained: then nothing was decided. */
  readonly problem: string | null;
}
