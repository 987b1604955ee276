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

/** Windows at a time where a whole recording goes through a model. */
const BATCH = 2_048;

/**
 * Cuts recordings into windows with the very code that the agent runs, so that training sees what detection will see: no
 * window over a gap, a missing value holds the last one. The channels of all recordings must be the same.
 *
 * @param rows first row and row after the last to use of each recording, as in `slice`
 * @param most more windows are thinned out evenly before they take memory
 * @throws InconsistentRecordingError
 */
export function windowsOf(
  recordings: readonly Recording[],
  shape: WindowShape,
  rows: readonly [from: number, to: number] = [0, Infinity],
  most = Infinity,
): WindowSet {
  const channels = channelsOf(recordings).length;
  const size = shape.window * channels;
  let available = 0;
  for (const recording of recordings) for (const step of cut(recording, shape, rows)) if (step.window) available += 1;
  const count = Math.min(available, most);
  const chosen = evenly(count, available);
  const data = new Float32Array(count * size);
  let seen = 0;
  let taken = 0;
  for (const recording of recordings) {
    for (const { window, builder } of cut(recording, shape, rows)) {
      if (!window) continue;
      if (seen === chosen[taken]) {
        builder.copyWindow(data, taken * size);
        taken += 1;
      }
      seen += 1;
    }
  }
  const overlap = Math.ceil(((Math.ceil(shape.window / shape.stride) - 1) * count) / Math.max(1, available));
  return { data, count, window: shape.window, channels, overlap };
}

/** Where the windows of a recording lie. */
export interface WindowRows {
  /** Rows at which a window ends, ascending. */
  readonly ends: Int32Array;
  /** Rows that did not continue what was before them: after a gap, or after a channel was away for too long. */
  readonly restarts: Int32Array;
}

/**
 * Every window of a recording in the order of time, some at a time, so that memory does not grow with its length. The
 * batch is reused: copy what you keep.
 */
export async function eachWindowBatch(
  recording: Recording,
  shape: WindowShape,
  visit: (batch: WindowSet) => Promise<void>,
): Promise<WindowRows> {
  const channels = channelsOf([recording]).length;
  const { window } = shape;
  const data = new Float32Array(BATCH * window * channels);
  const ends: number[] = [];
  const restarts: number[] = [];
  let count = 0;
  const flush = async (): Promise<void> => {
    if (count > 0)
      await visit({ data: data.subarray(0, count * window * channels), count, window, channels, overlap: 0 });
    count = 0;
  };
  for (const step of cut(recording, shape, [0, Infinity])) {
    if (step.restarted) restarts.push(step.row);
    if (!step.window) continue;
    step.builder.copyWindow(data, count * window * channels);
    ends.push(step.row);
    count += 1;
    if (count === BATCH) await flush();
  }
  await flush();
  return { ends: Int32Array.from(ends), restarts: Int32Array.from(restarts) };
}

/** What one row led to. Reused: read it before the next. */
interface CutStep {
  row: number;
  /** A window ends with this row; the builder holds it. */
  window: boolean;
  restarted: boolean;
  readonly builder: WindowBuilder;
}

function* cut(recording: Recording, shape: WindowShape, [from, to]: readonly [number, number]): Generator<CutStep> {
  const { window, stride, rateHz, maxGapMs } = shape;
  const width = recording.channels.length;
  const builder = new WindowBuilder({ channelCount: width, window, stride, warmup: 0, maxGapMs, stale: 'restart' });
  const step: CutStep = { row: 0, window: false, restarted: false, builder };
  for (let row = from; row < Math.min(to, recording.rows); row += 1) {
    const timeMs = recording.timesMs?.[row] ?? (row * 1_000) / rateHz;
    step.row = row;
    step.window = builder.push(timeMs, recording.values, row * width) === 'ready';
    step.restarted = builder.restarted;
    yield step;
  }
}

/** Some rows of a recording, as in `slice`, without its labels: what may be trained on. Nothing is copied. */
export function recordingRows(
  { channels, rows, values, timesMs }: Recording,
  [from, to]: readonly [from: number, to: number] = [0, Infinity],
): Recording {
  const end = Math.min(to, rows);
  const start = Math.min(from, end);
  return {
    channels,
    rows: end - start,
    values: values.subarray(start * channels.length, end * channels.length),
    ...(timesMs === undefined ? {} : { timesMs: timesMs.subarray(start, end) }),
  };
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
  return { ...selectWindows(set, evenly(most, set.count)), overlap: Math.ceil((set.overlap * most) / set.count) };
}

/** `count` indices below `available`, each in the middle of its share. */
export function evenly(count: number, available: number): number[] {
  return Array.from({ length: count }, (_, index) => Math.floor(((index + 0.5) * available) / count));
}

/** The windows at these indices, in their order. */
export function selectWindows(set: WindowSet, indices: readonly number[]): WindowSet {
  const size = set.window * set.channels;
  const data = new Float32Array(indices.length * size);
  for (const [to, from] of indices.entries()) data.set(set.data.subarray(from * size, (from + 1) * size), to * size);
  return { ...set, data, count: indices.length };
}

/** The windows of both, one set after the other. */
export function concatWindows(a: WindowSet, b: WindowSet): WindowSet {
  return { ...a, data: concatFloats([a.data, b.data]), count: a.count + b.count };
}

export function concatFloats(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
