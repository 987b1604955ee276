import type { TrainingData } from '../detector.ts';
import { NotEnoughDataError, UnusableDataError } from '../errors.ts';
import { channelsOf, concatFloats, eachWindowBatch, recordingRows } from '../window-set.ts';
import type { Recording, WindowSet, WindowShape } from '../window-set.ts';

/** What a detector that sees one window after another is trained on. */
export interface TrainingRows {
  /** `[N, C]`: the mean of each window's newest samples, as many as came since the window before. */
  readonly values: Float64Array;
  readonly count: number;
  readonly channels: number;
  /** `[N]`: 1 where a row does not follow the one before it. */
  readonly starts: Uint8Array;
  readonly windows: WindowSet;
}

const FEWEST_ROWS = 64;
/** Longer recordings are trained on in this many pieces, evenly spread, each in one go. */
const PIECES = 8;
/** A window of its own length averages no more samples than this. */
const LONGEST_MEAN = 64;

/** W of a detector that averages what came since the window before. */
export function shapeOf({ window, stride, rateHz, maxGapMs }: TrainingData): WindowShape {
  return { window: window ?? Math.min(stride, LONGEST_MEAN), stride, rateHz, maxGapMs };
}

/** Samples at the end of a window that are new. */
export function newestOf({ window, stride }: WindowShape): number {
  return Math.min(window, stride);
}

/**
 * Rows in the order of time, by the windows that the agent would see.
 *
 * @param mostRows of more, pieces are taken: bounds time and memory
 * @throws NotEnoughDataError under 64 windows; UnusableDataError when no channel ever changes
 */
export async function trainingRows(data: TrainingData, shape: WindowShape, mostRows: number): Promise<TrainingRows> {
  const channels = channelsOf(data.recordings).length;
  const size = shape.window * channels;
  const parts: Float32Array[] = [];
  const starts: number[] = [];
  let count = 0;
  for (const piece of piecesOf(data.recordings, mostRows * shape.stride)) {
    const first = count;
    // oxlint-disable-next-line no-await-in-loop -- the pieces follow each other in time
    const { ends, restarts } = await eachWindowBatch(piece, shape, async (batch) => {
      parts.push(batch.data.slice(0, batch.count * size));
      count += batch.count;
    });
    if (count > first) starts.push(first);
    for (const row of restarts) {
      const next = ends.findIndex((end) => end >= row);
      if (next > 0) starts.push(first + next);
    }
  }
  if (count < FEWEST_ROWS) {
    throw new NotEnoughDataError(
      `${count} whole windows of ${shape.window} samples; at least ${FEWEST_ROWS} are needed. Are there gaps or missing values?`,
    );
  }
  const flags = new Uint8Array(count);
  for (const start of starts) flags[start] = 1;
  const windows = { data: concatFloats(parts), count, window: shape.window, channels, overlap: overlapOf(shape) };
  const values = meansOf(windows, newestOf(shape));
  return { values, count, channels, starts: flags, windows };
}

/** @throws UnusableDataError */
export function refuseStill(inverse: Float64Array): void {
  if (inverse.every((value) => value === 0))
    throw new UnusableDataError('No channel of the training data ever changes.');
}

function overlapOf({ window, stride }: WindowShape): number {
  return Math.ceil(window / stride) - 1;
}

function piecesOf(recordings: readonly Recording[], mostRows: number): readonly Recording[] {
  const rows = recordings.reduce((sum, recording) => sum + recording.rows, 0);
  if (rows <= mostRows) return recordings;
  return recordings.flatMap((recording) => {
    const length = Math.floor((mostRows * recording.rows) / rows / PIECES);
    if (length === 0) return [];
    return Array.from({ length: PIECES }, (_, piece) => {
      const from = Math.round((piece * (recording.rows - length)) / (PIECES - 1));
      return recordingRows(recording, [from, from + length]);
    });
  });
}

function meansOf({ data, count, window, channels }: WindowSet, newest: number): Float64Array {
  const values = new Float64Array(count * channels);
  for (let n = 0; n < count; n += 1) {
    for (let t = window - newest; t < window; t += 1) {
      const at = (n * window + t) * channels;
      for (let c = 0; c < channels; c += 1) values[n * channels + c]! += data[at + c]! / newest;
    }
  }
  return values;
}
