import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ExecutionStatus } from '@drover/contracts';
import { EXECUTION_STATUSES } from '@drover/contracts';
import { judgeReport, judgeWave, planWaves } from './rollout-plan.ts';

const percent = (value: number) => ({ kind: 'percent', percent: value }) as const;
const count = (value: number) => ({ kind: 'count', count: value }) as const;

describe('waves', () => {
  it.each([
    [4, [percent(25), percent(75)], [1, 3]],
    [3, [percent(10), percent(90)], [1, 2]],
    [1000, [percent(33.4), percent(66.6)], [334, 666]],
    [10, [count(1), count(4)], [1, 9]],
    [10, [count(20)], [10]],
    [2, [count(1), count(1), count(5)], [1, 1]],
    [0, [percent(100)], []],
  ])('of %i devices in %j are %j', (total, sizes, expected) => {
    expect(planWaves(total, sizes)).toEqual(expected);
  });

  it('always take every device exactly once', () => {
    const size = fc.oneof(
      fc.double({ min: 0.1, max: 100, noNaN: true }).map(percent),
      fc.integer({ min: 1, max: 500 }).map(count),
    );
    fc.assert(
      fc.property(fc.nat(2_000), fc.array(size, { minLength: 1, maxLength: 8 }), (total, sizes) => {
        const counts = planWaves(total, sizes);
        expect(counts.reduce((sum, value) => sum + value, 0)).toBe(total);
        expect(counts.every((value) => value > 0)).toBe(true);
      }),
    );
  });
});

describe('a wave', () => {
  it('goes on while executions are unfinished', () => {
    expect(judgeWave({ SUCCEEDED: 1, QUEUED: 1, IN_PROGRESS: 1 }, 3, 0)).toEqual({ kind: 'running', unfinished: 2 });
  });
  it('fails as soon as too many have failed, whatever is unfinished', () => {
    expect(judgeWave({ FAILED: 1, TIMED_OUT: 1, QUEUED: 8 }, 10, 10)).toEqual({
      kind: 'failed',
      failed: 2,
      percent: 20,
    });
  });
  it('bears failures up to the threshold', () => {
    expect(judgeWave({ FAILED: 1, SUCCEEDED: 9 }, 10, 10)).toEqual({ kind: 'succeeded' });
  });
  it('does not count removed and cancelled executions as failures', () => {
    expect(judgeWave({ REMOVED: 5, CANCELED: 5 }, 10, 0)).toEqual({ kind: 'succeeded' });
  });
});

const report = (status: ExecutionStatus, sequence = 4, step: 'DOWNLOADING' | 'VERIFIED' | null = 'DOWNLOADING') => ({
  status,
  sequence,
  step,
});

describe('a report', () => {
  const working = { status: 'IN_PROGRESS', step: 'DOWNLOADING', sequence: 3, dispatched: true } as const;

  it('of a new step starts the timer anew, of the same step does not', () => {
    expect(judgeReport(working, report('IN_PROGRESS', 4, 'VERIFIED'))).toMatchObject({
      kind: 'applied',
      restartTimer: true,
    });
    expect(judgeReport(working, report('IN_PROGRESS'))).toMatchObject({ kind: 'applied', restartTimer: false });
  });
  it('of an end is terminal', () => {
    expect(judgeReport(working, report('SUCCEEDED'))).toMatchObject({ terminal: true, succeeded: true });
    expect(judgeReport(working, report('FAILED'))).toMatchObject({ terminal: true, succeeded: false });
  });
  it('that is old or repeated changes nothing', () => {
    expect(judgeReport(working, report('FAILED', 3))).toEqual({ kind: 'ignored' });
  });
  it('before the execution was dispatched is refused', () => {
    expect(judgeReport({ ...working, dispatched: false }, report('SUCCEEDED'))).toMatchObject({ kind: 'refused' });
  });
  it.each(['QUEUED', 'TIMED_OUT', 'CANCELED', 'REMOVED'] as const)(
    'of %s is refused: that is the server’s to say',
    (status) => {
      expect(judgeReport(working, report(status))).toMatchObject({ kind: 'refused' });
    },
  );
  it('never changes what is terminal', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(
          'SUCCEEDED',
          'FAILED',
          'TIMED_OUT',
          'REJECTED',
          'CANCELED',
          'REMOVED',
        ) as fc.Arbitrary<ExecutionStatus>,
        fc.constantFrom(...EXECUTION_STATUSES),
        fc.nat(),
        (status, reported, sequence) => {
          expect(judgeReport({ ...working, status }, report(reported, sequence)).kind).not.toBe('applied');
        },
      ),
    );
  });
});
