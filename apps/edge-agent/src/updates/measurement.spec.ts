import { describe, expect, it } from 'vitest';
import { CandidateMeasurement, measurementPlan } from './measurement.ts';
import type { ReadyRelease, Round } from './release-engine.ts';

const served = { release: 'r1', variant: 'int8', variantDigest: 'a'.repeat(64) };
const release = { served } as unknown as ReadyRelease;

function round(timesUs: number[], residentBytes: number): Round {
  return { provider: 'cpu', timesUs, residentBytes, ownBytes: 1 };
}

describe('the plan of a measurement', () => {
  it('is short for a single candidate, and bounded for many', () => {
    expect(measurementPlan(1, null)).toMatchObject({ rounds: 1, budgetMs: 1_000 });
    expect(measurementPlan(2, null)).toMatchObject({ rounds: 3, budgetMs: 5_000 });
    expect(measurementPlan(32, null).budgetMs * 32).toBe(20_000);
  });

  it('is one round on a board that is hot already', () => {
    expect(measurementPlan(3, 79).rounds).toBe(3);
    expect(measurementPlan(3, 80).rounds).toBe(1);
  });
});

describe('a candidate’s measurement', () => {
  const plan = { rounds: 3, runs: 10, warmupRuns: 1, budgetMs: 5_000 };

  it('puts rounds together: times of all, the most memory, the first and the last temperature', () => {
    const measurement = new CandidateMeasurement(release, plan);
    measurement.add(round([30, 10], 200), { beforeC: 40, afterC: 41 }, 10);
    measurement.add(round([20, 40, 50], 300), { beforeC: 45, afterC: 46 }, 10);
    expect(measurement.figures()).toEqual({
      ...served,
      provider: 'cpu',
      runs: 5,
      p50Us: 30,
      p95Us: 50,
      p99Us: 50,
      memoryBytes: 300,
      temperature: { beforeC: 40, afterC: 46 },
    });
  });

  it('tells no temperature where the board has none', () => {
    const measurement = new CandidateMeasurement(release, plan);
    measurement.add(round([1], 1), { beforeC: null, afterC: null }, 1);
    expect(measurement.figures().temperature).toBeNull();
  });

  it('ends when another round would not fit its time', () => {
    const measurement = new CandidateMeasurement(release, plan);
    expect(measurement.spent).toBe(false);
    expect(measurement.limits.budgetMs).toBeCloseTo(5_000 / 3);
    measurement.add(round([1], 1), { beforeC: null, afterC: null }, 2_000);
    expect(measurement.spent).toBe(false);
    measurement.add(round([1], 1), { beforeC: null, afterC: null }, 2_000);
    expect(measurement.spent).toBe(true);
    const slow = new CandidateMeasurement(release, plan);
    slow.add(round([1], 1), { beforeC: null, afterC: null }, 4_000);
    expect(slow.spent).toBe(true);
  });
});
