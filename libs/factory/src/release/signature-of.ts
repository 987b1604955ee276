import { NO_GAP_MS, samplingOfRows } from '../backtest/sampling-rule.ts';
import { InconsistentRecordingError, InvalidTrainingOptionsError } from '../errors.ts';
import type { Recording, WindowShape } from '../window-set.ts';

/** What of the signature the operator sets; the rest is found in the recordings. */
export interface ShapeOptions {
  /** Samples per window. */
  readonly window?: number;
  readonly stride?: number;
  readonly rateHz?: number;
  readonly maxGapMs?: number;
}

const DEFAULT_GAP_SAMPLES = 10;

/** How recordings are cut; without a window, the family decides on it. */
export type Sampling = Omit<WindowShape, 'window'> & { readonly window?: number };

/**
 * Completes how windows are cut: the rate is one over the median step forward of the recordings' times (1 Hz without times),
 * and a gap is ten samples long, or nothing is one where times are too irregular to tell.
 *
 * @throws InvalidTrainingOptionsError naming the option; InconsistentRecordingError for times that do not move
 */
export function samplingOf(recordings: readonly Recording[], options: ShapeOptions): Sampling {
  const { window, stride = 1 } = options;
  const found = timingOf(recordings);
  const { rateHz = found.rateHz } = options;
  const { maxGapMs = found.irregular ? NO_GAP_MS : (DEFAULT_GAP_SAMPLES * 1_000) / rateHz } = options;
  for (const [name, value] of Object.entries({ window: window ?? 1, stride })) {
    if (!Number.isInteger(value) || value < 1 || value > 65_536) {
      throw new InvalidTrainingOptionsError(`${name} must be a whole number from 1 to 65536, not ${value}.`);
    }
  }
  for (const [name, value] of Object.entries({ rateHz, maxGapMs })) {
    if (!Number.isFinite(value) || value <= 0)
      throw new InvalidTrainingOptionsError(`${name} must be positive, not ${value}.`);
  }
  return { ...(window === undefined ? {} : { window }), stride, rateHz, maxGapMs };
}

/** Of all recordings together, each of which has its own beginning. */
function timingOf(recordings: readonly Recording[]): { readonly rateHz: number; readonly irregular: boolean } {
  const timed = recordings.flatMap(({ timesMs }) => (timesMs === undefined || timesMs.length < 2 ? [] : [timesMs]));
  if (timed.length === 0) return { rateHz: 1, irregular: false };
  const rows = timed.reduce((sum, timesMs) => sum + timesMs.length, 0);
  // As one series: from the end of one recording, the next goes on with its own first step.
  const joined = new Float64Array(rows);
  let at = 0;
  let offset = 0;
  for (const timesMs of timed) {
    const step = timesMs[1]! - timesMs[0]!;
    offset = at === 0 ? 0 : joined[at - 1]! + step - timesMs[0]!;
    for (let row = 0; row < timesMs.length; row += 1) joined[at + row] = timesMs[row]! + offset;
    at += timesMs.length;
  }
  const { rateHz, irregular, moves } = samplingOfRows(joined);
  if (!moves) throw new InconsistentRecordingError('The times of the recordings do not move forward.');
  return { rateHz, irregular };
}
