import { quantileOfSorted } from '../quantile.ts';

/** An affine map of reals to uint8: real = scale × (q − zeroPoint). */
export interface Uint8Range {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** Shares of the values that a candidate range leaves outside at either end. */
const TAILS = [0, 1e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2];
/** Enough to see the tails above, few enough to sort. */
const MOST_VALUES = 400_000;

/**
 * Chooses the range of an activation: of several percentile ranges the one with the smallest mean squared error after
 * rounding and saturation. Zero is always representable exactly.
 *
 * @param values what the activation was on the calibration windows; finite
 */
export function chooseRange(values: Float32Array): Uint8Range {
  const step = Math.max(1, Math.ceil(values.length / MOST_VALUES));
  const sample = step === 1 ? values : values.filter((_, index) => index % step === 0);
  const sorted = sample.toSorted();
  let best: Uint8Range = { scale: 1, zeroPoint: 0 };
  let bestError = Infinity;
  for (const tail of TAILS) {
    const range = rangeBetween(quantileOfSorted(sorted, tail), quantileOfSorted(sorted, 1 - tail));
    const error = squaredError(sorted, range);
    if (error < bestError) {
      best = range;
      bestError = error;
    }
  }
  return best;
}

/** Below this everything is zero. */
const SMALLEST = 1e-30;

/** The range that covers [low, high] and zero. */
export function rangeBetween(low: number, high: number): Uint8Range {
  const from = Math.min(low, 0);
  const to = Math.max(high, 0);
  // Always zero, or nearly: any scale represents it, and a subnormal one would divide badly.
  const scale = to - from > SMALLEST ? Math.fround((to - from) / 255) : 1;
  return { scale, zeroPoint: Math.min(255, Math.max(0, Math.round(-from / scale))) };
}

function squaredError(values: Float32Array, { scale, zeroPoint }: Uint8Range): number {
  let sum = 0;
  for (const value of values) {
    const q = Math.min(255, Math.max(0, Math.round(value / scale) + zeroPoint));
    const error = (q - zeroPoint) * scale - value;
    sum += error * error;
  }
  return sum;
}
