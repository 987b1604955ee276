import { symmetricEigen } from '../pca/symmetric-eigen.ts';

/** From features to independent deviations: y = clip(e · inverse, ±limit) · root. */
export interface Whitening {
  readonly features: number;
  /** `[F]`; 0 for a feature that never changes. */
  readonly inverse: Float64Array;
  /** `[F, F]`, symmetric: the root of the inverse correlation, so that y keeps the order of the features. */
  readonly root: Float64Array;
  readonly limit: number;
}

export interface WhiteningOptions {
  /** How much a channel's scale is widened for every effective sample that is missing; see `driftOf`. */
  readonly drift: number;
  /** Deviations at which a feature is cut off. */
  readonly limit: number;
}

/** Sums over rows, from which a covariance is made; those of two sets add up. */
export interface Moments {
  count: number;
  /** `[F]` */
  readonly sum: Float64Array;
  /** `[F, F]`, lower triangle. */
  readonly scatter: Float64Array;
}

/** Rows between which change is measured: long against noise, short against what training may be. */
const LAG = 10;
/** Fewer effective samples than this are never assumed: widening has an end. */
const FEWEST_EFFECTIVE = 0.5;
const SPAN = 1 / 8;
const FLAT = 1e-9;

export function momentsOf(
  values: Float64Array,
  features: number,
  [from, to]: readonly [number, number],
  use: readonly boolean[],
): Moments {
  const sum = new Float64Array(features);
  const scatter = new Float64Array(features * features);
  let count = 0;
  for (let n = from; n < to; n += 1) {
    if (!use[n]) continue;
    count += 1;
    const row = values.subarray(n * features, (n + 1) * features);
    for (let i = 0; i < features; i += 1) {
      const value = row[i]!;
      sum[i]! += value;
      for (let j = 0; j <= i; j += 1) scatter[i * features + j]! += value * row[j]!;
    }
  }
  return { count, sum, scatter };
}

/** a + sign · b */
export function addMoments(a: Moments, b: Moments, sign: 1 | -1 = 1): Moments {
  return {
    count: a.count + sign * b.count,
    sum: a.sum.map((value, i) => value + sign * b.sum[i]!),
    scatter: a.scatter.map((value, i) => value + sign * b.scatter[i]!),
  };
}

/**
 * By how much the variance of each feature is widened, because its mean is not known better: 1 + drift / n, where n is the
 * number of effective samples, rows / (2 τ), and τ the correlation time in rows by an exponential through the correlation
 * at a lag of ten rows. A feature that wandered slowly in training has few effective samples: where it wanders next is
 * nearly unknown. For noise the factor is nearly 1.
 *
 * Source for effective samples: A. Sokal, "Monte Carlo methods in statistical mechanics", 1997, section 3.
 *
 * @param starts 1 where a row does not follow the one before
 */
export function driftOf(
  values: Float64Array,
  features: number,
  { use, starts }: { readonly use: readonly boolean[]; readonly starts: Uint8Array },
  drift: number,
): Float64Array {
  const change = new Float64Array(features);
  const mean = new Float64Array(features);
  const square = new Float64Array(features);
  let pairs = 0;
  let rows = 0;
  let since = 0;
  for (let n = 0; n < use.length; n += 1) {
    since = starts[n] === 1 ? 0 : since + 1;
    if (!use[n]) continue;
    rows += 1;
    const paired = since >= LAG && use[n - LAG] === true;
    if (paired) pairs += 1;
    for (let i = 0; i < features; i += 1) {
      const value = values[n * features + i]!;
      mean[i]! += value;
      square[i]! += value * value;
      if (paired) change[i]! += (value - values[(n - LAG) * features + i]!) ** 2;
    }
  }
  return change.map((sum, i) => {
    const variance = square[i]! / rows - (mean[i]! / rows) ** 2;
    if (!(variance > 0) || pairs === 0) return 1;
    const correlation = Math.min(0.999, Math.max(0.01, 1 - sum / pairs / 2 / variance));
    const time = LAG / -Math.log(correlation);
    return 1 + drift / Math.max(FEWEST_EFFECTIVE, rows / (2 * time));
  });
}

/** An eighth of the span of normal values: less than the deviation of any bulk, more than that of a value that hardly ever changes. */
export function smallestScales(values: Float64Array, features: number, use: readonly boolean[]): Float64Array {
  const low = new Float64Array(features).fill(Infinity);
  const high = new Float64Array(features).fill(-Infinity);
  for (let n = 0; n < use.length; n += 1) {
    if (!use[n]) continue;
    for (let i = 0; i < features; i += 1) {
      const value = values[n * features + i]!;
      if (value < low[i]!) low[i] = value;
      if (value > high[i]!) high[i] = value;
    }
  }
  return low.map((least, i) => SPAN * Math.max(0, high[i]! - least));
}

/**
 * The whitening of features whose normal value is 0. Correlations are shrunk towards none by the share of dimensions among
 * dimensions and rows, so that few rows of many channels cannot make up relations.
 *
 * @param widening variance factors as `driftOf` gives them
 * @param smallest deviations that are taken at least
 */
export function fitWhitening(
  { count, scatter }: Moments,
  widening: Float64Array,
  smallest: Float64Array,
  { limit }: WhiteningOptions,
): Whitening {
  const features = widening.length;
  const deviation = smallest.map((least, i) => Math.max(least, Math.sqrt(scatter[i * features + i]! / count)));
  const inverse = deviation.map((value, i) => (value > FLAT ? 1 / (value * Math.sqrt(widening[i]!)) : 0));
  const kept = 1 - Math.min(0.9, Math.max(0.1, features / (features + count / LAG)));
  const correlation = new Float64Array(features * features);
  for (let i = 0; i < features; i += 1) {
    correlation[i * features + i] = 1;
    for (let j = 0; j < i; j += 1) {
      const entry = (kept * scatter[i * features + j]! * inverse[i]! * inverse[j]!) / count;
      correlation[i * features + j] = entry;
      correlation[j * features + i] = entry;
    }
  }
  return { features, inverse, root: inverseRoot(correlation, features), limit };
}

function inverseRoot(matrix: Float64Array, n: number): Float64Array {
  const { values, vectors } = symmetricEigen(matrix, n);
  const root = new Float64Array(n * n);
  for (const [a, value] of values.entries()) {
    const weight = 1 / Math.sqrt(Math.max(value, 1e-6));
    const vector = vectors.subarray(a * n, (a + 1) * n);
    for (let i = 0; i < n; i += 1) {
      const factor = weight * vector[i]!;
      for (let j = 0; j < n; j += 1) root[i * n + j]! += factor * vector[j]!;
    }
  }
  return root;
}

/** y of one row of features, into `y`. */
export function whiten(row: Float64Array, { features, inverse, root, limit }: Whitening, y: Float64Array): void {
  y.fill(0);
  for (let i = 0; i < features; i += 1) {
    const z = Math.min(limit, Math.max(-limit, row[i]! * inverse[i]!));
    if (z === 0) continue;
    for (let j = 0; j < features; j += 1) y[j]! += z * root[i * features + j]!;
  }
}
