import { whiten } from '../mahalanobis/whitening.ts';
import type { Whitening } from '../mahalanobis/whitening.ts';

/** How baselines follow their channels. */
export interface Following {
  /** Share of the distance that a baseline goes per row, in [0, 1). */
  readonly rate: number;
  /** Widened deviations from which on a baseline holds still. */
  readonly freeze: number;
  /** Share of the rate that is left then: so slow that only a new normal state is ever learnt. */
  readonly frozenShare: number;
}

/**
 * The deviation of every feature from its baseline, row by row: `[N, F]`. A baseline starts at 0 and moves with its feature,
 * but for features that are themselves far off. So one broken channel does not stop the others from following.
 *
 * @param inverse of the widened deviations; null: nothing is far off
 * @param restarts 1 where baselines start from 0 again
 */
export function deviationsFromBaseline(
  smooth: Float64Array,
  features: number,
  following: Following,
  inverse: Float64Array | null,
  restarts: Uint8Array,
): Float64Array {
  const deviations = new Float64Array(smooth.length);
  const baseline = new Float64Array(features);
  for (let at = 0, n = 0; at < smooth.length; n += 1) {
    if (restarts[n] === 1) baseline.fill(0);
    for (let i = 0; i < features; i += 1, at += 1) {
      const e = smooth[at]! - baseline[i]!;
      deviations[at] = e;
      const far = inverse !== null && Math.abs(e * inverse[i]!) >= following.freeze;
      baseline[i]! += following.rate * (far ? following.frozenShare : 1) * e;
    }
  }
  return deviations;
}

/** Largest |y| of each row of deviations from `from` to `to`. */
export function largestDeviations(
  deviations: Float64Array,
  [from, to]: readonly [number, number],
  whitening: Whitening,
): Float64Array {
  const { features } = whitening;
  const y = new Float64Array(features);
  const result = new Float64Array(to - from);
  for (let n = from; n < to; n += 1) {
    whiten(deviations.subarray(n * features, (n + 1) * features), whitening, y);
    let largest = 0;
    for (let i = 0; i < features; i += 1) largest = Math.max(largest, Math.abs(y[i]!));
    result[n - from] = largest;
  }
  return result;
}
