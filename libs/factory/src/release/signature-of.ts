import { InconsistentRecordingError, InvalidTrainingOptionsError } from '../errors.ts';
import { quantile } from '../quantile.ts';
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
 * Completes how windows are cut: the rate is one over the median step of the recordings' times (1 Hz without times), and a
 * gap is ten samples long.
 *
 * @throws InvalidTrainingOptionsError naming the option; InconsistentRecordingError for times that do not move
 */
export function samplingOf(recordings: readonly Recording[], options: ShapeOptions): Sampling {
  const { window, stride = 1, rateHz = rateOf(recordings) } = options;
  const { maxGapMs = (DEFAULT_GAP_SAMPLES * 1_000) / rateHz } = options;
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

function rateOf(recordings: readonly Recording[]): number {
  const steps: number[] = [];
  for (const { timesMs } of recordings) {
    if (timesMs === undefined) continue;
    for (let row = 1; row < timesMs.length; row += 1) steps.push(timesMs[row]! - timesMs[row - 1]!);
  }
  if (steps.length === 0) return 1;
  const median = quantile(steps, 0.5);
  if (!(median > 0)) throw new InconsistentRecordingError('The times of the recordings do not move forward.');
  return 1_000 / median;
}
