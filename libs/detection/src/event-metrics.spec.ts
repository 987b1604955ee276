import { describe, expect, it } from 'vitest';
import { countEvents, intervalsOf } from './event-metrics.ts';

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
