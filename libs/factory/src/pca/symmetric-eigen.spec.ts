import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.ts';
import { symmetricEigen } from './symmetric-eigen.ts';

function symmetric(n: number, entry: () => number): Float64Array {
  const matrix = new Float64Array(n * n);
  for (let i = 0; i < n; i += 1) for (let j = 0; j <= i; j += 1) matrix[i * n + j] = matrix[j * n + i] = entry();
  return matrix;
}

/** Largest |VᵀΛV − A| and |VVᵀ − I|, relative to the largest entry. */
function errorOf(matrix: Float64Array, n: number): number {
  const { values, vectors } = symmetricEigen(matrix, n);
  const size = matrix.reduce((largest, entry) => Math.max(largest, Math.abs(entry)), 1e-300);
  let worst = 0;
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j < n; j += 1) {
      let entry = 0;
      let dot = 0;
      for (let k = 0; k < n; k += 1) {
        entry += values[k]! * vectors[k * n + i]! * vectors[k * n + j]!;
        dot += vectors[i * n + k]! * vectors[j * n + k]!;
      }
      worst = Math.max(worst, Math.abs(entry - matrix[i * n + j]!) / size, Math.abs(dot - (i === j ? 1 : 0)));
    }
  }
  return worst;
}

describe('eigenvalues of a symmetric matrix', () => {
  it('finds the known ones, largest first', () => {
    const { values, vectors } = symmetricEigen(Float64Array.of(2, 1, 1, 2), 2);
    expect([...values]).toEqual([expect.closeTo(3, 12), expect.closeTo(1, 12)]);
    expect(Math.abs(vectors[0]!)).toBeCloseTo(Math.SQRT1_2, 12);
    expect(vectors[0]! * vectors[1]!).toBeCloseTo(0.5, 12);
  });

  it('rebuilds the matrix from orthonormal vectors, whatever the matrix', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.integer(), fc.boolean(), (n, seed, integers) => {
        const random = seededRandom(seed);
        // Small integers make repeated eigenvalues and zeros likely.
        const matrix = symmetric(n, () => (integers ? Math.floor(random() * 3) - 1 : (random() - 0.5) * 1e3));
        expect(errorOf(matrix, n)).toBeLessThan(1e-11);
      }),
      { numRuns: 300 },
    );
  });

  it('handles diagonal, zero and low-rank matrices', () => {
    expect([...symmetricEigen(Float64Array.of(1, 0, 0, 0, 5, 0, 0, 0, 3), 3).values]).toEqual([5, 3, 1]);
    expect(errorOf(new Float64Array(25), 5)).toBe(0);
    expect(errorOf(new Float64Array(400).fill(7), 20)).toBeLessThan(1e-12);
  });

  it('stays exact at the size of a real model', () => {
    const random = seededRandom(1);
    expect(errorOf(symmetric(128, random), 128)).toBeLessThan(1e-11);
  });
});
