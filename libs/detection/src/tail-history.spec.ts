import { array, assert, double, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TailHistory } from './tail-history.ts';

const options = { tailShare: 0.03, horizonRows: 20_000 };
const number = double({ min: -1e6, max: 1e6, noNaN: true });

function historyOf(values: Iterable<number>, of = options): TailHistory {
  const history = new TailHistory(of);
  for (const value of values) history.add(value);
  return history;
}

/** Deterministic values that are spread like −ln of uniform ones: P(X ≥ x) = e^(−x). */
function exponential(rows: number): number[] {
  return Array.from({ length: rows }, (_, row) => -Math.log(((row * 7_919) % rows) / rows + 0.5 / rows));
}

describe('the history of a signal', () => {
  it('says nothing before there are enough rows', () => {
    const history = historyOf([1, 2, 3]);
    expect([history.ready, history.upperTail(99), history.lowerTail(-99)]).toEqual([false, 1, 1]);
  });

  it('knows the probabilities of what it saw, and extrapolates beyond', () => {
    const history = historyOf(exponential(20_000));
    for (const x of [0.1, 0.5, 1, 2, 3, 5, 8, 12, 20]) {
      expect(-Math.log(history.upperTail(x))).toBeGreaterThan(0.97 * x - 0.05);
      expect(-Math.log(history.upperTail(x))).toBeLessThan(1.03 * x + 0.05);
    }
    expect(history.lowerTail(0.01)).toBeCloseTo(0.01, 2);
    expect(history.lowerTail(1)).toBeCloseTo(1 - Math.exp(-1), 1);
  });

  it('stays small, however many different values come', () => {
    const { values, weights } = historyOf(Array.from({ length: 60_000 }, (_, i) => Math.sin(i * i) * i)).exportState();
    expect(values.length).toBeLessThan(400);
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(20_000, 6);
  });

  it('summarises all rows, those of an unfinished batch too', () => {
    const { values, weights } = historyOf(Array.from({ length: 50 }, (_, i) => i % 25)).summarise();
    expect(values).toEqual(Array.from({ length: 25 }, (_, i) => i));
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBe(50);
    expect(historyOf([]).summarise()).toEqual({ values: [], weights: [] });
  });

  it('keeps the levels of a signal that has only a few', () => {
    const { values, weights } = historyOf(
      Array.from({ length: 3_200 }, (_, i) => (i % 8 === 0 ? 20 : 0)),
    ).exportState();
    expect(values).toEqual([0, 20]);
    expect(weights).toEqual([2_800, 400]);
  });

  it('takes anything else for very unusual where nothing ever changed, but not a rounding error', () => {
    const history = historyOf(Array.from({ length: 64 }, () => 45));
    expect([history.upperTail(45), history.lowerTail(45)]).toEqual([1, 1]);
    expect(history.upperTail(46)).toBeLessThan(1e-12);
    expect(history.upperTail(45.000_001)).toBeGreaterThan(0.01);
  });

  it('forgets what is beyond its horizon', () => {
    const old = Array.from({ length: 2_000 }, (_, i) => 100 + (i % 10));
    const recent = Array.from({ length: 10_000 }, (_, i) => i % 10);
    expect(historyOf([...old, ...recent]).upperTail(100)).toBeGreaterThan(0.1);
    expect(historyOf([...old, ...recent], { ...options, horizonRows: 1_000 }).upperTail(100)).toBeLessThan(0.01);
  });

  it('never takes a larger value for a likelier one on its upper side, nor a smaller one on its lower', () => {
    assert(
      property(array(number, { minLength: 1, maxLength: 200 }), number, number, (values, a, b) => {
        const history = historyOf([...values, ...values]);
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        expect(history.upperTail(high)).toBeLessThanOrEqual(history.upperTail(low));
        expect(history.lowerTail(low)).toBeLessThanOrEqual(history.lowerTail(high));
        for (const tail of [history.upperTail(a), history.lowerTail(a)]) {
          expect(tail).toBeGreaterThanOrEqual(0);
          expect(tail).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it('is the mirror image for mirrored values', () => {
    assert(
      property(array(integer({ min: -50, max: 50 }), { minLength: 64, maxLength: 96 }), integer(), (values, x) => {
        const history = historyOf(values);
        const mirrored = historyOf(values.map((value) => -value));
        expect(mirrored.lowerTail(-x)).toBeCloseTo(history.upperTail(x), 9);
      }),
    );
  });
});
