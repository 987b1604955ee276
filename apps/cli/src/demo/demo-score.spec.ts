import { describe, expect, it } from 'vitest';
import { loopLengthMs, scoreLoop } from './demo-score.ts';

const loop = {
  timesMs: Float64Array.from({ length: 10 }, (_, i) => 1_000 * i),
  labels: Uint8Array.from([0, 0, 0, 1, 1, 0, 0, 1, 0, 0]),
  scoredFrom: 0,
};

describe('one pass of a looped recording', () => {
  it('is as long as from its first row to the first row of the next pass', () => {
    expect(loopLengthMs(loop.timesMs)).toBe(10_000);
  });

  it('scored from its beginning counts rows and events', () => {
    const score = scoreLoop(
      loop,
      [
        { startMs: 3_000, endMs: 4_000 },
        { startMs: 0, endMs: 1_000 },
      ],
      0,
    );
    expect(score).toMatchObject({ anomaliesLabelled: 2, anomaliesFound: 1, falseAlarms: 1 });
    expect(score.points).toEqual({ truePositives: 2, falsePositives: 2, falseNegatives: 1, trueNegatives: 5 });
  });

  it('scored from the middle of a later pass sees every row once', () => {
    // Rows 5..9 of the third pass, then rows 0..4 of the fourth.
    const score = scoreLoop(
      loop,
      [
        { startMs: 27_000, endMs: 27_000 },
        { startMs: 33_000, endMs: 34_000 },
      ],
      25_000,
    );
    expect(score).toMatchObject({ anomaliesLabelled: 2, anomaliesFound: 2, falseAlarms: 0 });
    expect(score.points).toEqual({ truePositives: 3, falsePositives: 0, falseNegatives: 0, trueNegatives: 7 });
  });

  it('cuts off what was detected before and after it', () => {
    const score = scoreLoop(
      loop,
      [
        { startMs: 0, endMs: 10_500 },
        { startMs: 20_000, endMs: 21_000 },
      ],
      10_000,
    );
    expect(score.points.falsePositives).toBe(1);
  });

  it('takes a detection that is still open to the end of the pass', () => {
    expect(scoreLoop(loop, [{ startMs: 7_000, endMs: null }], 0).points).toMatchObject({
      truePositives: 1,
      falsePositives: 2,
    });
  });

  it('leaves out rows that were trained on', () => {
    const score = scoreLoop({ ...loop, scoredFrom: 5 }, [{ startMs: 3_000, endMs: 4_000 }], 0);
    expect(score).toMatchObject({ anomaliesLabelled: 1, anomaliesFound: 0, falseAlarms: 0 });
    expect(score.points).toEqual({ truePositives: 0, falsePositives: 0, falseNegatives: 1, trueNegatives: 4 });
  });
});
