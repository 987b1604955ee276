import { assert, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.ts';
import { instantiateKernels } from './kernel-module.ts';
import { TensorMemory } from './tensor-memory.ts';

const size = integer({ min: 1, max: 19 });

describe('the matrix product', () => {
  it('adds A · B to C for all sizes, and touches nothing else', () => {
    assert(
      property(size, size, size, integer(), (m, n, k, seed) => {
        const memory = new TensorMemory([m * k, k * n, m * n, 8]);
        const [a, b, c, after] = [m * k, k * n, m * n, 8].map((length) => memory.take(length));
        const random = seededRandom(seed);
        for (const { data } of [a!, b!, c!, after!]) data.forEach((_, i) => (data[i] = random() - 0.5));
        const expected = Array.from(c!.data, (value, at) => {
          const [i, j] = [Math.floor(at / n), at % n];
          let sum = value;
          for (let s = 0; s < k; s += 1) sum += a!.data[i * k + s]! * b!.data[s * n + j]!;
          return sum;
        });
        const untouched = [a!, b!, after!].map(({ data }) => data.slice());
        instantiateKernels(memory.memory).gemm(m, n, k, a!.at, k * 4, 4, b!.at, n * 4, c!.at, n * 4);
        for (const [at, value] of expected.entries()) expect(c!.data[at]).toBeCloseTo(value, 4);
        expect([a!, b!, after!].map(({ data }) => data)).toEqual(untouched);
      }),
      { numRuns: 200 },
    );
  });

  it('takes A transposed, and rows of A and C that overlap', () => {
    assert(
      property(size, size, integer({ min: 1, max: 6 }), integer(), (rows, n, k, seed) => {
        // Rows of k numbers that begin one after another: what a convolution over time reads, and on its way back writes.
        const length = rows + k - 1;
        const memory = new TensorMemory([length, k * n, rows * n, n * k, length]);
        const [x, w, y, t, back] = [length, k * n, rows * n, n * k, length].map((count) => memory.take(count));
        const random = seededRandom(seed);
        for (const { data } of [x!, w!]) data.forEach((_, i) => (data[i] = random() - 0.5));
        for (let i = 0; i < k * n; i += 1) t!.data[(i % n) * k + Math.floor(i / n)] = w!.data[i]!;
        const { gemm } = instantiateKernels(memory.memory);
        gemm(rows, n, k, x!.at, 4, 4, w!.at, n * 4, y!.at, n * 4);
        gemm(rows, k, n, y!.at, n * 4, 4, t!.at, k * 4, back!.at, 4);
        const expected = new Float64Array(length);
        for (let r = 0; r < rows; r += 1) {
          for (let o = 0; o < n; o += 1) {
            let sum = 0;
            for (let i = 0; i < k; i += 1) sum += x!.data[r + i]! * w!.data[i * n + o]!;
            expect(y!.data[r * n + o]).toBeCloseTo(sum, 4);
            for (let i = 0; i < k; i += 1) expected[r + i]! += sum * w!.data[i * n + o]!;
          }
        }
        for (const [at, value] of expected.entries()) expect(back!.data[at]).toBeCloseTo(value, 3);
        const gradients = w!;
        gradients.data.fill(0);
        gemm(k, n, rows, x!.at, 4, 4, y!.at, n * 4, gradients.at, n * 4);
        for (let i = 0; i < k; i += 1) {
          for (let o = 0; o < n; o += 1) {
            let sum = 0;
            for (let r = 0; r < rows; r += 1) sum += x!.data[r + i]! * y!.data[r * n + o]!;
            expect(gradients.data[i * n + o]).toBeCloseTo(sum, 3);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('a step of Adam', () => {
  it('is what its definition says', () => {
    const memory = new TensorMemory([8, 8, 8, 8]);
    const [weights, gradients, first, second] = [8, 8, 8, 8].map((length) => memory.take(length));
    const { adam } = instantiateKernels(memory.memory);
    const random = seededRandom(2);
    const expected = { w: new Float64Array(8), m: new Float64Array(8), v: new Float64Array(8) };
    for (let i = 0; i < 8; i += 1) expected.w[i] = weights!.data[i] = random() - 0.5;
    for (let step = 1; step <= 5; step += 1) {
      for (let i = 0; i < 8; i += 1) {
        const g = (gradients!.data[i] = random() - 0.5);
        expected.m[i] = 0.9 * expected.m[i]! + 0.1 * g;
        expected.v[i] = 0.999 * expected.v[i]! + 0.001 * g * g;
        const moments = [expected.m[i]! / (1 - 0.9 ** step), expected.v[i]! / (1 - 0.999 ** step)] as const;
        expected.w[i]! -= (0.01 * moments[0]) / (Math.sqrt(moments[1]) + 1e-8);
      }
      const correction = Math.sqrt(1 - 0.999 ** step);
      const rate = (0.01 * correction) / (1 - 0.9 ** step);
      adam(8, weights!.at, gradients!.at, first!.at, second!.at, rate, 1e-8 * correction, 0.9, 0.999);
    }
    for (const [i, value] of expected.w.entries()) expect(weights!.data[i]).toBeCloseTo(value, 5);
  });
});
