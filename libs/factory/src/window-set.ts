import { WindowBuilder } from '@drover/detection';
import { InconsistentRecordingError } from './errors.ts';

/** Samples of some channels over time. Structurally what `@drover/recordings` loads. */
export interface Recording {
  /** C names. */
  readonly channels: readonly string[];
  readonly rows: number;
  /** `[rows, C]`, row by row; NaN is missing. */
  readonly values: Float32Array;
  /** `[rows]`, milliseconds; left out where the rows follow each other at the model's rate without a gap. */
  readonly timesMs?: Float64Array;
  /** `[rows]`, anything but 0 is anomalous. */
  readonly labels?: Uint8Array;
}

/** How windows are cut; the same names and meanings as in a manifest's signature. */
export interface WindowShape {
  /** W: samples per window. */
  readonly window: number;
  /** Samples from one window's start to the next. */
  readonly stride: number;
  readonly rateHz: number;
  readonly maxGapMs: number;
}

/** N windows, one after another. */
export interface WindowSet {
  /** `[N, W, C]`, raw units, always finite. */
  readonly data: Float32Array;
  readonly count: number;
  readonly window: number;
  readonly channels: number;
  /** How many windows after one share samples with it. */
  readonly overlap: number;
}

/**
 * Cuts recordings into windows with the very code that the agent runs, so that training sees what detection will see: no
 * window over a gap, a missing value holds the last one. The channels of all recordings must be the same.
 *
 * @param rowRange first row and row after the last to use of each recording, as in `slice`
 * @throws InconsistentRecordingError
 */
export function windowsOf(
  recordings: readonly Recording[],
  shape: WindowShape,
  rowRange: readonly [from: number, to: number] = [0, Infinity],
): WindowSet {
  const channels = channelsOf(recordings).length;
  const size = shape.window * channels;
  const parts: Float32Array[] = [];
  for (const recording of recordings) {
    eachWindow(recording, shape, rowRange, (builder) => {
      const window = new Float32Array(size);
      builder.copyWindow(window);
      parts.push(window);
    });
  }
  const data = new Float32Array(parts.length * size);
  for (const [index, part] of parts.entries()) data.set(part, index * size);
  return {
    data,
    count: parts.length,
    window: shape.window,
    channels,
    overlap: Math.ceil(shape.window / shape.stride) - 1,
  };
}

/** Rows at which a window of the recording ends, in the order of `windowsOf`. */
export function windowRowsOf(recording: Recording, shape: WindowShape): Int32Array {
  const rows: number[] = [];
  eachWindow(recording, shape, [0, Infinity], (_, row) => rows.push(row));
  return Int32Array.from(rows);
}

function eachWindow(
  recording: Recording,
  shape: WindowShape,
  [from, to]: readonly [number, number],
  visit: (builder: WindowBuilder, row: number) => void,
): void {
  const { window, stride, rateHz, maxGapMs } = shape;
  const width = recording.channels.length;
  const builder = new WindowBuilder({ channelCount: width, window, stride, warmup: 0, maxGapMs, stale: 'restart' });
  for (let row = from; row < Math.min(to, recording.rows); row += 1) {
    const timeMs = recording.timesMs?.[row] ?? (row * 1_000) / rateHz;
    if (builder.push(timeMs, recording.values, row * width) === 'ready') visit(builder, row);
  }
}

/** The channels that all recordings share. @throws InconsistentRecordingError where they differ, or sizes do not fit */
export function channelsOf(recordings: readonly Recording[]): readonly string[] {
  const [first] = recordings;
  if (first === undefined) throw new InconsistentRecordingError('There is no recording.');
  for (const [index, { channels, rows, values, timesMs, labels }] of recordings.entries()) {
    const name = `Recording ${index + 1}`;
    if (channels.length === 0) throw new InconsistentRecordingError(`${name} has no channels.`);
    if (channels.join('\n') !== first.channels.join('\n')) {
      throw new InconsistentRecordingError(
        `${name} has the channels ${channels.join(', ')}; the first has ${first.channels.join(', ')}.`,
      );
    }
    for (const [what, length, expected] of [
      ['values', values.length, rows * channels.length],
      ['times', timesMs?.length ?? rows, rows],
      ['labels', labels?.length ?? rows, rows],
    ] as const) {
      if (length !== expected) throw new InconsistentRecordingError(`${name} has ${length} ${what}, not ${expected}.`);
    }
  }
  return first.channels;
}

/** At most `most` windows, evenly spread. The same set when there are no more. */
export function thinned(set: WindowSet, most: number): WindowSet {
  if (set.count <= most) return set;
  const step = set.count / most;
  const chosen = selectWindows(
    set,
    Array.from({ length: most }, (_, index) => Math.floor((index + 0.5) * step)),
  );
  return { ...chosen, overlap: Math.ceil(set.overlap / step) };
}

/** The windows at these indices, in their order. */
export function selectWindows(set: WindowSet, indices: readonly number[]): WindowSet {
  const size = set.window * set.channels;
  const data = new Float32Array(indices.length * size);
  for (const [to, from] of indices.entries()) data.set(set.data.subarray(from * size, (from + 1) * size), to * size);
  return { ...set, data, count: indices.length };
}

export function concatWindows(a: WindowSet, b: WindowSet): WindowSet {
  const data = new Float32Array(a.data.length + b.data.length);
  data.set(a.data);
  data.set(b.data, a.data.length);
  return { ...a, data, count: a.count + b.count };
}
