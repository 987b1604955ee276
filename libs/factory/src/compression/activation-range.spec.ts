import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.ts';
import { chooseRange, rangeBetween } from './activation-range.ts';

/** One window of all values. */
function whole(values: Float32Array): { values: Float32Array; size: number } {
  return { values, size: values.length };
}

describe('ranges', () => {
  it('represent zero exactly and cover what they should', () => {
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, min: -1e6, max: 1e6 }),
        fc.float({ noNaN: true, min: -1e6, max: 1e6 }),
        (a, b) => {
          const [low, high] = [Math.min(a, b, 0), Math.max(a, b, 0)];
          fc.pre(high - low > 1e-20);
          const { scale, zeroPoint } = rangeBetween(Math.min(a, b), Math.max(a, b));
          expect(Number.isInteger(zeroPoint) && zeroPoint >= 0 && zeroPoint <= 255).toBe(true);
          // Rounding the zero point may shift the range by half a step.
          expect(-zeroPoint * scale).toBeLessThanOrEqual(low + 0.51 * scale);
          expect((255 - zeroPoint) * scale).toBeGreaterThanOrEqual(high - 0.51 * scale);
        },
      ),
    );
  });

  it('give up a lone outlier for finer steps, but not a common one', () => {
    const random = seededRandom(7);
    const bulk = Float32Array.from({ length: 100_000 }, () => 2 * random() - 1);
    const lone = chooseRange(whole(bulk.with(0, 1.6)));
    expect(lone.scale).toBeLessThan(2.4 / 255);
    expect(lone.saturated).toBeGreaterThan(0);
    const common = bulk.map((value, i) => (i % 100 === 0 ? 30 : value));
    expect(chooseRange(whole(common)).scale).toBeCloseTo(31 / 255, 2);
  });

  it('never make a window with a fault look small, even if it is one of hundreds', () => {
    const random = seededRandom(8);
    const size = 64;
    const values = Float32Array.from({ length: 500 * size }, () => 2 * random() - 1);
    // One channel of one window, far away.
    for (let i = 0; i < size; i += 4) values[i] = 12;
    const { scale, zeroPoint } = chooseRange({ values, size });
    expect((255 - zeroPoint) * scale).toBeGreaterThan(11.5);
  });

  it('are found by search where no percentile fits', () => {
    const random = seededRandom(9);
    // Long tails on one side: the best range ends somewhere between two percentiles.
    const values = Float32Array.from({ length: 50_000 }, () => Math.log(1 / (1 - random())) ** 1.5);
    const { method, scale } = chooseRange(whole(values));
    expect(method).toBe('mse');
    expect(255 * scale).toBeLessThan(values.reduce((a, b) => Math.max(a, b)));
  });

  it('handle an activation that is always zero, and none at all', () => {
    expect(chooseRange(whole(new Float32Array(10)))).toMatchObject({ scale: 1, zeroPoint: 0, error: 0, saturated: 0 });
    expect(chooseRange(whole(new Float32Array(0)))).toMatchObject({ scale: 1, zeroPoint: 0 });
  });
});
