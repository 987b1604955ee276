import { array, assert, double, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QuantileRing, quantileOf } from './quantile-ring.ts';

describe('QuantileRing', () => {
  it('has no summary before the first value', () => {
    expect(new QuantileRing().summary()).toBeNull();
  });

  it('gives nearest-rank quantiles', () => {
    const ring = new QuantileRing(200);
    for (let i = 100; i >= 1; i -= 1) ring.add(i);
    expect(ring.summary()).toEqual({ count: 100, p50: 50, p95: 95, p99: 99, max: 100 });
  });

  it('keeps the newest values only, and counts all', () => {
    const ring = new QuantileRing(10);
    for (let i = 0; i < 1_000; i += 1) ring.add(i);
    expect(ring.summary()).toMatchObject({ count: 1_000, p50: 994, max: 999 });
  });

  it('gives a quantile that the right share of values does not exceed', () => {
    assert(
      property(
        array(double({ noNaN: true }), { minLength: 1 }),
        double({ min: 0, max: 1, noNaN: true }),
        (values, q) => {
          const sorted = Float64Array.from(values).toSorted();
          const value = quantileOf(sorted, q);
          expect(values.filter((v) => v <= value).length / values.length).toBeGreaterThanOrEqual(q - 1e-12);
        },
      ),
    );
  });
});
