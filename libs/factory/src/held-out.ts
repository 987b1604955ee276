import { quantile } from './quantile.ts';

/**
 * Windows that belong to the bulk. Held-out scores of clean data lie close together (the largest is rarely twice the
 * median), so what is far above the median and the upper quartile's distance from it is another kind of data.
 *
 * @param heldOut a score per window, from a model that did not see it
 * @param normal what was taken for the bulk so far
 * @param maxContamination largest share that may be set aside
 */
export function bulkOf(heldOut: Float64Array, normal: readonly boolean[], maxContamination: number): boolean[] {
  const bulk = heldOut.filter((_, n) => normal[n]);
  const median = quantile(bulk, 0.5);
  const limit = median + Math.max(0.75 * median, 6 * (quantile(bulk, 0.75) - median));
  const cap = quantile(heldOut, 1 - maxContamination);
  return Array.from(heldOut, (score) => score <= Math.max(limit, cap));
}

/** First and behind the last index of each of `folds` blocks of `count`. */
export function blocksOf(count: number, folds: number): [from: number, to: number][] {
  return Array.from({ length: folds }, (_, fold) => [
    Math.floor((fold * count) / folds),
    Math.floor(((fold + 1) * count) / folds),
  ]);
}
