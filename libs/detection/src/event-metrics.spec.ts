import { array, assert, integer, property, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countEvents, eventMetrics, intervalsOf, poolEvents } from './event-metrics.ts';

const times = Array.from({ length: 10 }, (_, i) => i * 100);

describe('intervalsOf', () => {
  it('finds runs, also at both ends', () => {
    expect(intervalsOf([1, 1, 0, 0, 1, 0, 0, 0, 1, 1], times)).toEqual([
      { startMs: 0, endMs: 100 },
      { startMs: 400, endMs: 400 },
      { startMs: 800, endMs: 900 },
    ]);
    expect(intervalsOf([0, 0], times)).toEqual([]);
  });
});

describe('countEvents', () => {
  const labelled = [
    { startMs: 100, endMs: 200 },
    { startMs: 500, endMs: 600 },
    { startMs: 900, endMs: 950 },
  ];

  it('counts found intervals, false alarms and delays', () => {
    const detected = [
      { startMs: 150, endMs: 160 },
      { startMs: 170, endMs: 300 },
      { startMs: 400, endMs: 520 },
      { startMs: 700, endMs: 800 },
    ];
    expect(countEvents(labelled, detected)).toEqual({
      labelled: 3,
      found: 2,
      detected: 4,
      falseAlarms: 1,
      delaysMs: [50, 0],
    });
  });

  it('lets a detection lag behind by as much as is allowed', () => {
    const late = [{ startMs: 230, endMs: 240 }];
    expect(countEvents(labelled, late)).toMatchObject({ found: 0, falseAlarms: 1 });
    expect(countEvents(labelled, late, { lagMs: 30 })).toMatchObject({ found: 1, falseAlarms: 0 });
  });

  it('counts one long detection over several intervals for each of them', () => {
    expect(countEvents(labelled, [{ startMs: 0, endMs: 1_000 }])).toMatchObject({ found: 3, falseAlarms: 0 });
  });
});

describe('event metrics', () => {
  const counts = { labelled: 4, found: 3, detected: 5, falseAlarms: 1, delaysMs: [1_000, 9_000, 2_000] };

  it('agree with a case computed by hand', () => {
    const metrics = eventMetrics(counts, 12 * 3_600_000);
    expect(metrics).toMatchObject({ precision: 0.8, recall: 0.75, delayMs: 2_000, falseAlarmsPerDay: 2 });
    expect(metrics.f1).toBeCloseTo((2 * 0.8 * 0.75) / 1.55, 12);
  });

  it('rate nothing as 0 and have no delay where nothing was found', () => {
    const none = { labelled: 2, found: 0, detected: 0, falseAlarms: 0, delaysMs: [] };
    expect(eventMetrics(none, 0)).toEqual({
      precision: 0,
      recall: 0,
      f1: 0,
      delayMs: Number.NaN,
      falseAlarmsPerDay: Number.NaN,
    });
  });

  it('of an even number of delays take the middle', () => {
    expect(eventMetrics({ ...counts, delaysMs: [10, 20, 40, 80] }, 1).delayMs).toBe(30);
  });

  it('of several recordings are those of all their events', () => {
    expect(poolEvents([counts, { ...counts, delaysMs: [5] }])).toEqual({
      labelled: 8,
      found: 6,
      detected: 10,
      falseAlarms: 2,
      delaysMs: [1_000, 9_000, 2_000, 5],
    });
  });

  it('match as comparing every pair would', () => {
    const interval = tuple(integer({ min: 0, max: 60 }), integer({ min: 0, max: 15 }));
    assert(
      property(array(interval), array(interval), integer({ min: 0, max: 5 }), (a, b, lagMs) => {
        const labelled = a.map(([startMs, length]) => ({ startMs, endMs: startMs + length }));
        const detected = b.map(([startMs, length]) => ({ startMs, endMs: startMs + length }));
        const overlap = (i: number, j: number): boolean =>
          detected[j]!.startMs <= labelled[i]!.endMs + lagMs && detected[j]!.endMs >= labelled[i]!.startMs;
        const delaysMs = labelled.flatMap(({ startMs }, i) => {
          const starts = detected.filter((_, j) => overlap(i, j)).map((detection) => detection.startMs);
          return starts.length === 0 ? [] : [Math.max(0, Math.min(...starts) - startMs)];
        });
        const falseAlarms = detected.filter((_, j) => !labelled.some((__, i) => overlap(i, j))).length;
        expect(countEvents(labelled, detected, { lagMs })).toMatchObject({ delaysMs, falseAlarms });
      }),
    );
  });
});
