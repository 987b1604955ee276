/** What can be said of recordings before anything is trained on them. Structurally the contract's dataset report. */
export interface DatasetReport {
  readonly rows: number;
  readonly files: readonly RecordingReport[];
  readonly problems: readonly DatasetProblem[];
}

export interface RecordingReport {
  readonly name: string;
  readonly rows: number;
  /** ISO 8601; null without times. */
  readonly startAt: string | null;
  readonly endAt: string | null;
  /** One over the median step forward; the given rate where the file has no times. */
  readonly rateHz: number | null;
  /** Steps longer than ten times the median. */
  readonly gaps: { readonly count: number; readonly longestMs: number };
  readonly duplicateTimes: number;
  readonly backwardTimes: number;
  /** Share of steps that differ from the median by more than a tenth. */
  readonly irregularShare: number;
  readonly channels: readonly ChannelReport[];
  readonly labels: readonly string[];
  /** Columns that are neither time nor channel nor label. */
  readonly ignored: readonly string[];
  /** Share of rows that are labelled anomalous; null without labels. */
  readonly labelShare: number | null;
}

export interface ChannelReport {
  readonly name: string;
  /** Rows without a value. */
  readonly missing: number;
  readonly constant: boolean;
  /** These four are null where there is no value at all. */
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  readonly deviation: number | null;
}

export interface DatasetProblem {
  /** An error keeps the dataset from being trained on; a warning is good to know. */
  readonly severity: 'error' | 'warning';
  /** Null where it is about all files together. */
  readonly file: string | null;
  /** Says what to do. */
  readonly message: string;
}
