import { quantileOfSorted } from '../quantile.ts';
import type { Observed } from './calibrate.ts';

/** An affine map of reals to uint8: real = scale × (q − zeroPoint). */
export interface Uint8Range {
  readonly scale: number;
  readonly zeroPoint: number;
}

export interface ChosenRange extends Uint8Range {
  /** How the range was found: where a share of the values ends, or by searching the smallest error. */
  readonly method: 'percentile' | 'mse';
  /** Squared error of a window by its squared size, mean over the windows. */
  readonly error: number;
  /** The same of the window that it is largest of. */
  readonly worstError: number;
  /** Share of the values outside. */
  readonly saturated: number;
}

/** Shares of the values that a percentile range leaves outside at either end. */
const TAILS = [1e-5, 1e-4, 5e-4, 1e-3, 5e-3, 1e-2];
/** Smallest part of the full range that the search looks at, and its steps. */
const NARROWEST = 0.3;
const STEPS = 15;

/**
 * Chooses the range of an activation: of percentile ranges and of ranges found by search, the one with the smallest error
 * after rounding and saturation. Zero is always representable exactly.
 *
 * What is made small is the error of the mean window and of the worst one, each by its own size: with a fault among
 * hundreds of windows a range is not so narrow that it looks small, and not wide for the sake of a single value.
 *
 * @param observed finite values
 */
export function chooseRange(observed: Observed): ChosenRange {
  const { values } = observed;
  // A quiet window counts by what is usual, so that rounding it to zero is no great loss.
  const usual = QUIET * meanPower(observed);
  const sorted = values.toSorted();
  const [low, high] = [sorted[0] ?? 0, sorted.at(-1) ?? 0];
  let best = tried(rangeBetween(low, high), 'percentile', observed, usual);
  const consider = (candidate: ChosenRange): number => {
    if (costOf(candidate) < costOf(best)) best = candidate;
    return costOf(candidate);
  };
  for (const tail of TAILS) {
    const range = rangeBetween(quantileOfSorted(sorted, tail), quantileOfSorted(sorted, 1 - tail));
    consider(tried(range, 'percentile', observed, usual));
  }
  // Both ends in turn: what a Relu leaves has one end only.
  let ends: readonly [number, number] = [low, high];
  for (const end of [1, 0]) {
    let least = Infinity;
    const start = ends;
    for (let step = 0; step <= STEPS; step += 1) {
      const part = 1 - (step / STEPS) * (1 - NARROWEST);
      const narrowed = [start[0] * (end === 0 ? part : 1), start[1] * (end === 1 ? part : 1)] as const;
      const error = consider(tried(rangeBetween(...narrowed), 'mse', observed, usual));
      if (error < least) [least, ends] = [error, narrowed];
      else if (error > 4 * least) break;
    }
  }
  return best;
}

function costOf({ error, worstError }: ChosenRange): number {
  return error + worstError;
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

/** What a range does to the values. */
function tried(
  range: Uint8Range,
  method: ChosenRange['method'],
  { values, size }: Observed,
  usual: number,
): ChosenRange {
  const { scale, zeroPoint } = range;
  const inverse = 1 / scale;
  const [least, most] = [-zeroPoint, 255 - zeroPoint];
  let [sum, worst, windows, saturated] = [0, 0, 0, 0];
  for (let at = 0; at < values.length;) {
    const end = Math.min(values.length, at + Math.max(1, size));
    let [error, power] = [0, 0];
    for (; at < end; at += 1) {
      const value = values[at]!;
      let q = Math.round(value * inverse);
      if (q < least || q > most) {
        saturated += 1;
        q = q < least ? least : most;
      }
      const off = q * scale - value;
      error += off * off;
      power += value * value;
    }
    windows += 1;
    const relative = power + usual > 0 ? error / (power + usual) : 0;
    sum += relative;
    worst = Math.max(worst, relative);
  }
  return {
    ...range,
    method,
    error: sum / Math.max(1, windows),
    worstError: worst,
    saturated: saturated / Math.max(1, values.length),
  };
}

const QUIET = 0.01;

/** Sum of squares of a window, on average. */
function meanPower({ values, size }: Observed): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return (sum * size) / Math.max(1, values.length);
}
