import { blocksOf } from '../held-out.ts';
import type { WindowSet } from '../window-set.ts';
import { addScatter } from './pca-model.ts';
import type { PrincipalComponents } from './pca-model.ts';

/** Keeps a covariance that a block leaves singular invertible; far below any variance that counts. */
const LEAST_VARIANCE = 1e-9;
/** With hardly more windows than dimensions the correction would have no bound. */
const LEAST_FREEDOM = 0.2;

/**
 * The combined index of each window by the variances of the other blocks of time; windows that reach into its block are left
 * out of them.
 *
 * The directions are those of all windows, which takes one eigen-decomposition instead of one per block: T² is then pᵀB⁻¹p
 * with B the others' covariance of the projections p. Directions that knew the block make its index too small; squared, by
 * about (N − D) / N, as Hotelling's T² of known observations is smaller than that of new ones (N. Tracy, J. Young & R. Mason,
 * "Multivariate control charts for individual observations", Journal of Quality Technology 24, 1992). That is made up for.
 *
 * @param z `[N, D]`
 * @param basis `[D, D]`: rows are all directions, the components first
 */
export function heldOutIndex(
  z: Float64Array,
  { count, overlap }: Pick<WindowSet, 'count' | 'overlap'>,
  normal: readonly boolean[],
  { dimensions, variances }: PrincipalComponents,
  basis: Float64Array,
  folds: number,
): Float64Array {
  const k = variances.length;
  const { projections, rest } = project(z, dimensions, basis, k);
  const scatter = new Float64Array(k * k);
  const all = addScatter(projections, k, [0, count], normal, scatter);
  const restOfAll = sumOf(rest, [0, count], normal);
  const index = new Float64Array(count);
  const optimism = Math.max(LEAST_FREEDOM, 1 - dimensions / count);
  for (const [from, to] of blocksOf(count, folds)) {
    const near: [number, number] = [Math.max(0, from - overlap), Math.min(count, to + overlap)];
    const factor = new Float64Array(k * k);
    const others = Math.max(1, all - addScatter(projections, k, near, normal, factor));
    for (let i = 0; i < factor.length; i += 1) factor[i] = (scatter[i]! - factor[i]!) / others;
    factorise(factor, k);
    const meanRest = Math.max((restOfAll - sumOf(rest, near, normal)) / others, Number.MIN_VALUE);
    for (let n = from; n < to; n += 1) {
      const tSquare = k === 0 ? 0 : squaredDistance(projections.slice(n * k, (n + 1) * k), factor) / k;
      index[n] = Math.sqrt((tSquare + rest[n]! / meanRest) / 2 / optimism);
    }
  }
  return index;
}

/** Coordinates along the first k directions, and the squared length of what is left. */
function project(
  z: Float64Array,
  dimensions: number,
  basis: Float64Array,
  k: number,
): { projections: Float64Array; rest: Float64Array } {
  const count = z.length / dimensions;
  const projections = new Float64Array(count * k);
  const rest = new Float64Array(count);
  for (let n = 0; n < count; n += 1) {
    const row = z.subarray(n * dimensions, (n + 1) * dimensions);
    let length = 0;
    for (let i = 0; i < dimensions; i += 1) length += row[i]! * row[i]!;
    for (let a = 0; a < k; a += 1) {
      const at = a * dimensions;
      let along = 0;
      for (let i = 0; i < dimensions; i += 1) along += row[i]! * basis[at + i]!;
      projections[n * k + a] = along;
      length -= along * along;
    }
    rest[n] = Math.max(0, length);
  }
  return { projections, rest };
}

function sumOf(values: Float64Array, [from, to]: readonly [number, number], use: readonly boolean[]): number {
  let sum = 0;
  for (let n = from; n < to; n += 1) if (use[n]) sum += values[n]!;
  return sum;
}

/** Cholesky's factor in place, lower triangle. */
function factorise(a: Float64Array, n: number): void {
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      let entry = a[i * n + j]!;
      for (let m = 0; m < j; m += 1) entry -= a[i * n + m]! * a[j * n + m]!;
      a[i * n + j] = i === j ? Math.sqrt(Math.max(entry, LEAST_VARIANCE)) : entry / a[j * n + j]!;
    }
  }
}

/** pᵀB⁻¹p for B = L Lᵀ. @param p overwritten */
function squaredDistance(p: Float64Array, factor: Float64Array): number {
  const n = p.length;
  let sum = 0;
  for (let i = 0; i < n; i += 1) {
    let entry = p[i]!;
    for (let m = 0; m < i; m += 1) entry -= factor[i * n + m]! * p[m]!;
    p[i] = entry / factor[i * n + i]!;
    sum += p[i]! * p[i]!;
  }
  return sum;
}
