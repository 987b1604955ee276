import { BrokenModelError } from '../errors.ts';

export interface SymmetricEigen {
  /** `[n]`, descending. */
  readonly values: Float64Array;
  /** `[n, n]`: row i is the unit eigenvector of `values[i]`. */
  readonly vectors: Float64Array;
}

const MOST_SWEEPS = 60;

/**
 * All eigenvalues and eigenvectors of a symmetric matrix, in O(n³): about 10 ms for n = 128.
 *
 * Householder reduction to tridiagonal form, then implicit QL with Wilkinson's shift. Source: G. Golub & C. Van Loan,
 * "Matrix Computations", 4th ed., sections 8.3.1 to 8.3.3; H. Bowdler, R. Martin, C. Reinsch, J. Wilkinson, "The QR and QL
 * algorithms for symmetric matrices", Numerische Mathematik 11, 1968.
 *
 * @param matrix `[n, n]`, row by row, not changed; only assumed to be symmetric
 */
export function symmetricEigen(matrix: Float64Array, n: number): SymmetricEigen {
  const { diagonal, offDiagonal, basis } = tridiagonalise(matrix, n);
  diagonalise(diagonal, offDiagonal, basis, n);
  const order = Array.from(diagonal.keys()).toSorted((a, b) => diagonal[b]! - diagonal[a]!);
  const vectors = new Float64Array(n * n);
  for (const [to, from] of order.entries()) vectors.set(basis.subarray(from * n, (from + 1) * n), to * n);
  return { values: Float64Array.from(order, (index) => diagonal[index]!), vectors };
}

interface Tridiagonal {
  diagonal: Float64Array;
  /** `offDiagonal[i]` couples i and i + 1; the last is 0. */
  offDiagonal: Float64Array;
  /** Rows are the basis vectors: A = basisᵀ · T · basis. */
  basis: Float64Array;
}

function tridiagonalise(matrix: Float64Array, n: number): Tridiagonal {
  const a = Float64Array.from(matrix);
  const reflectors: Float64Array[] = [];
  const product = new Float64Array(n);
  const offDiagonal = new Float64Array(n);
  for (let k = 0; k < n - 2; k += 1) {
    const v = householderVector(a, n, k);
    reflectors.push(v);
    if (v.length === 0) {
      offDiagonal[k] = a[(k + 1) * n + k]!;
      continue;
    }
    const start = k + 1;
    // p = A v, then the rank-two update A −= v wᵀ + w vᵀ with w = 2 (p − (vᵀp) v), |v| = 1.
    let vp = 0;
    for (let i = start; i < n; i += 1) {
      let sum = 0;
      for (let j = start; j < n; j += 1) sum += a[i * n + j]! * v[j - start]!;
      product[i] = sum;
      vp += sum * v[i - start]!;
    }
    for (let i = start; i < n; i += 1) product[i] = 2 * (product[i]! - vp * v[i - start]!);
    for (let i = start; i < n; i += 1) {
      const vi = v[i - start]!;
      const wi = product[i]!;
      for (let j = start; j < n; j += 1) a[i * n + j]! -= vi * product[j]! + wi * v[j - start]!;
    }
    offDiagonal[k] = reflectedEntry(a, n, k, v);
  }
  if (n > 1) offDiagonal[n - 2] = a[(n - 1) * n + n - 2]!;
  const diagonal = Float64Array.from({ length: n }, (_, i) => a[i * n + i]!);
  return { diagonal, offDiagonal, basis: accumulate(reflectors, n) };
}

/** Unit vector that reflects column k below the diagonal onto the first axis; empty where there is nothing to do. */
function householderVector(a: Float64Array, n: number, k: number): Float64Array {
  const v = new Float64Array(n - k - 1);
  for (let i = k + 1; i < n; i += 1) v[i - k - 1] = a[i * n + k]!;
  const below = norm(v, 1);
  if (below === 0) return new Float64Array(0);
  v[0]! += (v[0]! < 0 ? -1 : 1) * Math.hypot(v[0]!, below);
  const length = norm(v, 0);
  for (let i = 0; i < v.length; i += 1) v[i]! /= length;
  return v;
}

/** What the reflection leaves at (k + 1, k): the column itself is outside the block that was updated. */
function reflectedEntry(a: Float64Array, n: number, k: number, v: Float64Array): number {
  let dot = 0;
  for (let i = 0; i < v.length; i += 1) dot += v[i]! * a[(k + 1 + i) * n + k]!;
  return a[(k + 1) * n + k]! - 2 * dot * v[0]!;
}

/** The rows of H₀H₁… transposed, built backwards so that each reflection touches only the block it must. */
function accumulate(reflectors: readonly Float64Array[], n: number): Float64Array {
  const basis = new Float64Array(n * n);
  for (let i = 0; i < n; i += 1) basis[i * n + i] = 1;
  for (let k = reflectors.length - 1; k >= 0; k -= 1) {
    const v = reflectors[k]!;
    const start = k + 1;
    for (let row = start; row < n && v.length > 0; row += 1) {
      const at = row * n + start;
      let dot = 0;
      for (let j = 0; j < v.length; j += 1) dot += basis[at + j]! * v[j]!;
      dot *= 2;
      for (let j = 0; j < v.length; j += 1) basis[at + j]! -= dot * v[j]!;
    }
  }
  return basis;
}

/** Implicit QL on (d, e), rotating rows of `basis` along. */
function diagonalise(d: Float64Array, e: Float64Array, basis: Float64Array, n: number): void {
  for (let low = 0; low < n; low += 1) {
    for (let sweep = 0; ; sweep += 1) {
      const high = firstNegligible(d, e, low, n);
      if (high === low) break;
      if (sweep === MOST_SWEEPS) throw new BrokenModelError('The eigenvalues did not converge: the matrix has NaN?');
      qlSweep(d, e, basis, n, low, high);
    }
  }
}

/** First index from `low` on whose coupling to the next is below rounding. */
function firstNegligible(d: Float64Array, e: Float64Array, low: number, n: number): number {
  let m = low;
  while (m < n - 1) {
    const scale = Math.abs(d[m]!) + Math.abs(d[m + 1]!);
    if (Math.abs(e[m]!) <= Number.EPSILON * scale) break;
    m += 1;
  }
  return m;
}

function qlSweep(d: Float64Array, e: Float64Array, basis: Float64Array, n: number, low: number, high: number): void {
  const half = (d[low + 1]! - d[low]!) / (2 * e[low]!);
  const root = Math.hypot(half, 1);
  // Wilkinson's shift: the eigenvalue of the leading 2 × 2 block nearest to its corner.
  let g = d[high]! - d[low]! + e[low]! / (half + (half < 0 ? -root : root));
  let sine = 1;
  let cosine = 1;
  let shift = 0;
  for (let i = high - 1; i >= low; i -= 1) {
    const f = sine * e[i]!;
    const b = cosine * e[i]!;
    const r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      // The block falls apart here: undo the pending shift and look at it again.
      d[i + 1]! -= shift;
      e[high] = 0;
      return;
    }
    sine = f / r;
    cosine = g / r;
    const top = d[i + 1]! - shift;
    const t = (d[i]! - top) * sine + 2 * cosine * b;
    shift = sine * t;
    d[i + 1] = top + shift;
    g = cosine * t - b;
    rotateRows(basis, n, i, sine, cosine);
  }
  d[low]! -= shift;
  e[low] = g;
  e[high] = 0;
}

/** Rows i and i + 1 turned in their plane. */
function rotateRows(basis: Float64Array, n: number, i: number, sine: number, cosine: number): void {
  const at = i * n;
  const next = at + n;
  for (let k = 0; k < n; k += 1) {
    const x = basis[at + k]!;
    const y = basis[next + k]!;
    basis[next + k] = sine * x + cosine * y;
    basis[at + k] = cosine * x - sine * y;
  }
}

function norm(v: Float64Array, from: number): number {
  let sum = 0;
  for (let i = from; i < v.length; i += 1) sum += v[i]! * v[i]!;
  return Math.sqrt(sum);
}
