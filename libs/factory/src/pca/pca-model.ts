import type { WindowSet } from '../window-set.ts';
import { symmetricEigen } from './symmetric-eigen.ts';

/** How raw windows become z: (x − center) / deviation per channel, cut off at ±limit. */
export interface Normaliser {
  readonly center: Float64Array;
  /** 1 / deviation; 0 for a channel that never changed, which then contributes nothing. */
  readonly inverseDeviation: Float64Array;
  /** Deviations beyond which more is not worse: one broken sensor cannot drown the others. */
  readonly limit: number;
}

/** Principal subspace of z, flattened to D = W × C. */
export interface PrincipalComponents {
  readonly dimensions: number;
  /** `[k, D]`, orthonormal rows, by falling variance. */
  readonly components: Float64Array;
  /** `[k]` */
  readonly variances: Float64Array;
  /** Variance outside the subspace, summed over its dimensions. */
  readonly residualVariance: number;
}

// A deviation this small beside the mean is what float32 makes of a constant.
const FLAT = 1e-6;
/** Share of all variance that the residual is taken to have at least; else rounding would decide what is abnormal. */
const LEAST_RESIDUAL = 1e-4;

/** Mean and deviation per channel over the windows marked in `use`. */
export function fitNormaliser(set: WindowSet, use: readonly boolean[], limit: number): Normaliser {
  const { data, count, window, channels } = set;
  const size = window * channels;
  const center = new Float64Array(channels);
  const square = new Float64Array(channels);
  let rows = 0;
  // Shifted by the first row, so that squares of large values do not eat the variance.
  const shift = Float64Array.from(data.subarray(0, channels));
  for (let n = 0; n < count; n += 1) {
    if (!use[n]) continue;
    rows += window;
    for (let i = 0; i < size; i += 1) {
      const c = i % channels;
      const value = data[n * size + i]! - shift[c]!;
      center[c]! += value;
      square[c]! += value * value;
    }
  }
  const inverseDeviation = new Float64Array(channels);
  for (let c = 0; c < channels; c += 1) {
    const mean = center[c]! / rows;
    const deviation = Math.sqrt(Math.max(0, square[c]! / rows - mean * mean));
    center[c] = mean + shift[c]!;
    inverseDeviation[c] = deviation <= FLAT * Math.abs(center[c]!) || deviation < 1e-30 ? 0 : 1 / deviation;
  }
  return { center, inverseDeviation, limit };
}

/** z, `[N, D]`. */
export function normalise(set: WindowSet, { center, inverseDeviation, limit }: Normaliser): Float64Array {
  const { data, channels } = set;
  const z = new Float64Array(data.length);
  for (let i = 0; i < data.length; i += 1) {
    const c = i % channels;
    z[i] = Math.min(limit, Math.max(-limit, (data[i]! - center[c]!) * inverseDeviation[c]!));
  }
  return z;
}

/** Adds Σ z zᵀ of the marked windows from `from` to `to` to `into` (`[D, D]`), and gives their number. */
export function addScatter(
  z: Float64Array,
  dimensions: number,
  [from, to]: readonly [number, number],
  use: readonly boolean[],
  into: Float64Array,
): number {
  let count = 0;
  for (let n = from; n < to; n += 1) {
    if (!use[n]) continue;
    count += 1;
    const row = z.subarray(n * dimensions, (n + 1) * dimensions);
    for (let i = 0; i < dimensions; i += 1) {
      const zi = row[i]!;
      const at = i * dimensions;
      for (let j = 0; j <= i; j += 1) into[at + j]! += zi * row[j]!;
    }
  }
  return count;
}

/**
 * The components that explain a share of the variance; at least one dimension stays outside. And the basis, all directions
 * by falling variance.
 *
 * @param scatter Σ z zᵀ, lower triangle; about 0, which is the channels' mean
 */
export function fitComponents(
  scatter: Float64Array,
  count: number,
  dimensions: number,
  explainedVariance: number,
): { readonly pca: PrincipalComponents; readonly basis: Float64Array } {
  const covariance = new Float64Array(dimensions * dimensions);
  for (let i = 0; i < dimensions; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      const entry = scatter[i * dimensions + j]! / count;
      covariance[i * dimensions + j] = entry;
      covariance[j * dimensions + i] = entry;
    }
  }
  const { values, vectors } = symmetricEigen(covariance, dimensions);
  const total = values.reduce((sum, value) => sum + Math.max(0, value), 0);
  let kept = 0;
  let explained = 0;
  while (kept < dimensions - 1 && explained < explainedVariance * total) {
    explained += values[kept]!;
    kept += 1;
  }
  const pca = {
    dimensions,
    components: vectors.slice(0, kept * dimensions),
    variances: values.slice(0, kept),
    residualVariance: Math.max(total - explained, LEAST_RESIDUAL * total, Number.MIN_VALUE),
  };
  return { pca, basis: vectors };
}

/**
 * What T² and Q are multiplied with in the combined index √((T²/k + Q/θ) / 2): T² is Hotelling's statistic of the k components, Q
 * the squared distance to their subspace, θ its mean in training. Both terms are 1 on average in training, and so is the whole.
 *
 * Source: H. Yue & S. Qin, "Reconstruction-based fault identification using a combined index", Industrial & Engineering
 * Chemistry Research 40, 2001; here each statistic is divided by its mean instead of its limit, and the limit found on
 * held-out windows.
 */
export function indexWeights({ variances, residualVariance }: PrincipalComponents): {
  tWeight: number;
  qWeight: number;
} {
  return { tWeight: variances.length === 0 ? 0 : 1 / (2 * variances.length), qWeight: 1 / (2 * residualVariance) };
}
