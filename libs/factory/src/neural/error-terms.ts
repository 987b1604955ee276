import { quantile } from '../quantile.ts';

/**
 * How the difference between a window and its reconstruction is measured, per channel: the mean square, the squared mean,
 * and the squared mean of the newer half. A slow fault under the noise shows in the means only, a fast one in the square.
 */
export const ERROR_TERMS = 3;

/** Values of z² (whose mean is 1) under which a term is not divided: what is reconstructed perfectly stays bearable. */
const LEAST_TERM = 1e-3;

/** First sample of a window's newer half. */
export function newerHalf(window: number): number {
  return Math.floor(window / 2);
}

/** `[N, ERROR_TERMS × C]`, term by term. @param z `[N, W, C]` @param reconstruction as long */
export function errorTerms(
  z: Float32Array,
  reconstruction: Float32Array,
  { window, channels }: { readonly window: number; readonly channels: number },
): Float64Array {
  const size = window * channels;
  const count = z.length / size;
  const half = newerHalf(window);
  const terms = new Float64Array(count * ERROR_TERMS * channels);
  for (let n = 0; n < count; n += 1) {
    const squares = n * ERROR_TERMS * channels;
    const [means, newer] = [squares + channels, squares + 2 * channels];
    for (let t = 0, at = n * size; t < window; t += 1) {
      for (let c = 0; c < channels; c += 1, at += 1) {
        const difference = z[at]! - reconstruction[at]!;
        terms[squares + c]! += (difference * difference) / window;
        terms[means + c]! += difference / window;
        if (t >= half) terms[newer + c]! += difference / (window - half);
      }
    }
    for (let i = means; i < newer + channels; i += 1) terms[i]! *= terms[i]!;
  }
  return terms;
}

/**
 * Weights that make every term of every channel count the same: one over its mean on the windows in `use`.
 *
 * @param watched channels that take part; the others weigh 0
 * @param trimmed share of each term's largest values that does not enter its mean: while it is not known yet what is abnormal
 */
export function termWeights(
  terms: Float64Array,
  use: readonly boolean[],
  watched: readonly boolean[],
  trimmed = 0,
): Float64Array {
  const width = ERROR_TERMS * watched.length;
  const used = [...use.keys()].filter((n) => use[n]);
  const kept = Math.max(1, Math.ceil(used.length * (1 - trimmed)));
  const share = ERROR_TERMS * watched.filter(Boolean).length;
  return new Float64Array(width).map((_, i) => {
    if (!watched[i % watched.length]) return 0;
    const values = Float64Array.from(used, (n) => terms[n * width + i]!).toSorted();
    const mean = values.subarray(0, kept).reduce((sum, value) => sum + value, 0) / kept;
    return 1 / (share * Math.max(LEAST_TERM, mean));
  });
}

/** √ of the weighted sum of each window's terms. */
export function scoresOf(terms: Float64Array, weights: Float64Array): Float64Array {
  const width = weights.length;
  return new Float64Array(terms.length / width).map((_, n) => {
    let sum = 0;
    for (let i = 0; i < width; i += 1) sum += terms[n * width + i]! * weights[i]!;
    return Math.sqrt(sum);
  });
}

/**
 * Windows that belong to the bulk. Held-out scores of clean data lie close together, so what is far above the median and
 * the upper quartile's distance from it is another kind of data.
 *
 * @param maxContamination largest share of windows that may be set aside
 */
export function bulkOf(scores: Float64Array, known: readonly boolean[], maxContamination: number): boolean[] {
  const bulk = scores.filter((_, n) => known[n]);
  const median = quantile(bulk, 0.5);
  const limit = median + Math.max(0.75 * median, 6 * (quantile(bulk, 0.75) - median));
  const cap = quantile(scores, 1 - maxContamination);
  return Array.from(scores, (score) => score <= Math.max(limit, cap));
}
