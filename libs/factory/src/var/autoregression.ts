import type { Moments } from '../mahalanobis/whitening.ts';

/** x̂ = bias + Σ over the lags of (row of the past) · coefficients. */
export interface Autoregression {
  /** C */
  readonly channels: number;
  /** L */
  readonly lags: number;
  /** `[L × C, C]`, oldest row first. */
  readonly coefficients: Float64Array;
  /** `[C]` */
  readonly bias: Float64Array;
}

/**
 * Vector autoregression by ridge regression about the means.
 *
 * Source: H. Lütkepohl, "New introduction to multiple time series analysis", 2005, section 3.2; A. Hoerl & R. Kennard, "Ridge
 * regression", Technometrics 12, 1970.
 *
 * @param moments of stretches of L + 1 rows, `[(L + 1) × C]` each, oldest row first
 * @param ridge in units of a channel's variance; positive, so that the equations always have one solution
 */
export function fitAutoregression(moments: Moments, channels: number, lags: number, ridge: number): Autoregression {
  const { count, sum, scatter } = moments;
  const size = sum.length;
  const past = lags * channels;
  const mean = sum.map((value) => value / count);
  const covariance = (i: number, j: number): number =>
    scatter[Math.max(i, j) * size + Math.min(i, j)]! / count - mean[i]! * mean[j]!;
  const matrix = new Float64Array(past * past);
  for (let i = 0; i < past; i += 1) {
    for (let j = 0; j <= i; j += 1) matrix[i * past + j] = covariance(i, j) + (i === j ? ridge : 0);
  }
  const coefficients = new Float64Array(past * channels);
  for (let i = 0; i < past; i += 1) {
    for (let c = 0; c < channels; c += 1) coefficients[i * channels + c] = covariance(i, past + c);
  }
  solvePositive(matrix, past, coefficients, channels);
  const bias = mean.slice(past);
  for (let i = 0; i < past; i += 1) {
    for (let c = 0; c < channels; c += 1) bias[c]! -= mean[i]! * coefficients[i * channels + c]!;
  }
  return { channels, lags, coefficients, bias };
}

/** What the last row of each stretch from `from` to `to` is beside its forecast: `[to − from, C]`. */
export function forecastErrors(
  stretches: Float64Array,
  [from, to]: readonly [number, number],
  { channels, lags, coefficients, bias }: Autoregression,
): Float64Array {
  const past = lags * channels;
  const size = past + channels;
  const errors = new Float64Array((to - from) * channels);
  for (let n = from; n < to; n += 1) {
    const at = (n - from) * channels;
    for (let c = 0; c < channels; c += 1) errors[at + c] = stretches[n * size + past + c]! - bias[c]!;
    for (let i = 0; i < past; i += 1) {
      const value = stretches[n * size + i]!;
      for (let c = 0; c < channels; c += 1) errors[at + c]! -= value * coefficients[i * channels + c]!;
    }
  }
  return errors;
}

/** X in A X = B, for a positive definite A by Cholesky's factors. @param a lower triangle, overwritten @param b `[n, m]` becomes X */
function solvePositive(a: Float64Array, n: number, b: Float64Array, m: number): void {
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      let entry = a[i * n + j]!;
      for (let k = 0; k < j; k += 1) entry -= a[i * n + k]! * a[j * n + k]!;
      a[i * n + j] = i === j ? Math.sqrt(Math.max(entry, Number.MIN_VALUE)) : entry / a[j * n + j]!;
    }
  }
  for (let c = 0; c < m; c += 1) {
    for (let i = 0; i < n; i += 1) {
      let entry = b[i * m + c]!;
      for (let k = 0; k < i; k += 1) entry -= a[i * n + k]! * b[k * m + c]!;
      b[i * m + c] = entry / a[i * n + i]!;
    }
    for (let i = n - 1; i >= 0; i -= 1) {
      let entry = b[i * m + c]!;
      for (let k = i + 1; k < n; k += 1) entry -= a[k * n + i]! * b[k * m + c]!;
      b[i * m + c] = entry / a[i * n + i]!;
    }
  }
}
