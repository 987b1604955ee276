import { array, assert, integer, property, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countPoints, pointMetrics, poolCounts } from './point-metrics.ts';
import type { PointCounts } from './point-metrics.ts';

/** Rows of [label, alarm]. */
function countsOf(rows: [number, number][]): PointCounts {
  return countPoints(
    rows.map(([label]) => label),
    rows.map(([, alarm]) => alarm),
  );
}

describe('point metrics', () => {
  it('agree with a case counted by hand', () => {
    const labels = [0, 0, 0, 0, 1, 1, 1, 0];
    const alarms = [0, 1, 0, 0, 0, 1, 1, 1];
    const counts = countPoints(labels, alarms);
    expect(counts).toEqual({ truePositives: 2, falsePositives: 2, falseNegatives: 1, trueNegatives: 3 });
    const metrics = pointMetrics(counts);
    expect(metrics.f1).toBeCloseTo(4 / 7);
    expect(metrics.far).toBeCloseTo(0.4);
    expect(metrics.mar).toBeCloseTo(1 / 3);
  });

  it('leave out what was for training', () => {
    expect(countPoints([1, 1, 0, 1], [1, 0, 0, 1], 2)).toMatchObject({ truePositives: 1, trueNegatives: 1 });
  });

  it('are 0, not NaN, where there is nothing to rate', () => {
    expect(pointMetrics(countPoints([], []))).toEqual({ f1: 0, precision: 0, recall: 0, far: 0, mar: 0 });
  });

  it('of pooled recordings are those of one long recording', () => {
    const recording = array(tuple(integer({ min: 0, max: 1 }), integer({ min: 0, max: 1 })));
    assert(
      property(recording, recording, (a, b) => {
        expect(poolCounts([countsOf(a), countsOf(b)])).toEqual(countsOf([...a, ...b]));
      }),
    );
  });
});
