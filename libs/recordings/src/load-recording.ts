import { RecordingTooLargeError } from './errors.ts';
import { readRecording } from './read-recording.ts';
import type { RecordingHeader, RecordingOptions } from './read-recording.ts';

export interface LoadOptions extends RecordingOptions {
  /** More rows are refused. Default 2,000,000. */
  readonly maxRows?: number;
}

/** A whole recording in memory. */
export interface LoadedRecording {
  readonly header: RecordingHeader;
  /** C names. */
  readonly channels: readonly string[];
  readonly rows: number;
  /** `[rows]`, milliseconds since the Unix epoch. */
  readonly timesMs: Float64Array;
  /** `[rows, C]`, row by row; NaN is missing. */
  readonly values: Float32Array;
  /** `[rows]`, 1 is anomalous; absent where the recording has no labels. */
  readonly labels?: Uint8Array;
}

/**
 * Reads a whole recording into memory.
 *
 * @throws as `readRecording`, and RecordingTooLargeError
 */
export async function loadRecording(path: string, options: LoadOptions = {}): Promise<LoadedRecording> {
  const maxRows = options.maxRows ?? 2_000_000;
  const recording = await readRecording(path, options);
  const channels = recording.header.channels;
  const width = channels.length;
  let timesMs = new Float64Array(1_024);
  let values = new Float32Array(1_024 * width);
  let labels = new Uint8Array(1_024);
  let rows = 0;
  for await (const batch of recording.batches()) {
    if (rows + batch.length > maxRows) throw new RecordingTooLargeError(`${path} has more than ${maxRows} rows`);
    while (rows + batch.length > timesMs.length) {
      timesMs = grown(timesMs, new Float64Array(timesMs.length * 2));
      values = grown(values, new Float32Array(values.length * 2));
      labels = grown(labels, new Uint8Array(labels.length * 2));
    }
    for (const row of batch) {
      timesMs[rows] = row.timeMs;
      values.set(row.values, rows * width);
      labels[rows] = row.label ?? 0;
      rows += 1;
    }
  }
  return {
    header: recording.header,
    channels,
    rows,
    timesMs: timesMs.slice(0, rows),
    values: values.slice(0, rows * width),
    ...(recording.header.labelledBy === null ? {} : { labels: labels.slice(0, rows) }),
  };
}

function grown<A extends Float64Array | Float32Array | Uint8Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
