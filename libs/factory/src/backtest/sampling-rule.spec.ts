import { describe, expect, it } from 'vitest';
import { InconsistentRecordingError } from '../errors.ts';
import { samplingOf } from '../release/signature-of.ts';
import { NO_GAP_MS, samplingOfRows } from './sampling-rule.ts';

const times = (steps: readonly number[]): Float64Array => {
  let timeMs = 1e12;
  return Float64Array.from([timeMs, ...steps.map((step) => (timeMs += step))]);
};
const regular = Array.from({ length: 99 }, () => 1_000);

describe('rate and gap rule of rows', () => {
  it('calls 100 samples a gap where steps are regular, and three of the longest step seen', () => {
    expect(samplingOfRows(times(regular))).toEqual({ rateHz: 1, maxGapMs: 100_000, irregular: false, moves: true });
    const away = regular.with(50, 60_000);
    expect(samplingOfRows(times(away))).toMatchObject({ rateHz: 1, maxGapMs: 180_000, irregular: false });
  });

  it('bears a few duplicates and steps backward', () => {
    const untidy = regular.with(3, 0).with(30, -5_000).with(31, 7_000);
    expect(samplingOfRows(times(untidy))).toMatchObject({ rateHz: 1, maxGapMs: 100_000, irregular: false });
  });

  it('calls nothing a gap where times are irregular, or do not move', () => {
    const jumpy = regular.map((step, i) => (i % 10 === 0 ? 20 * step : step));
    expect(samplingOfRows(times(jumpy))).toMatchObject({ rateHz: 1, maxGapMs: NO_GAP_MS, irregular: true });
    expect(samplingOfRows(times([0, 0, 0]))).toMatchObject({ rateHz: 1, maxGapMs: NO_GAP_MS, moves: false });
    expect(samplingOfRows([])).toMatchObject({ rateHz: 1, moves: false });
  });

  it('takes most duplicates as too coarse a clock: the rate is of the steps forward', () => {
    const coarse = Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? 1_000 : 0));
    expect(samplingOfRows(times(coarse))).toMatchObject({ rateHz: 1, irregular: true });
  });
});

describe('rate and gap rule of a release', () => {
  const recording = (steps: readonly number[]) => {
    const timesMs = times(steps);
    return { channels: ['a'], rows: timesMs.length, values: new Float32Array(timesMs.length), timesMs };
  };

  it('is ten samples of the median step, over all recordings', () => {
    const half = regular.map((step) => step / 2);
    expect(samplingOf([recording(regular), recording(regular)], {})).toEqual({
      stride: 1,
      rateHz: 1,
      maxGapMs: 10_000,
    });
    expect(samplingOf([recording(half)], {})).toMatchObject({ rateHz: 2, maxGapMs: 5_000 });
    expect(samplingOf([recording(half)], { maxGapMs: 7 })).toMatchObject({ rateHz: 2, maxGapMs: 7 });
  });

  it('takes rows as samples where times are irregular, and refuses times that do not move', () => {
    const jumpy = regular.map((step, i) => (i % 10 === 0 ? 20 * step : step));
    expect(samplingOf([recording(jumpy)], {})).toMatchObject({ rateHz: 1, maxGapMs: NO_GAP_MS });
    expect(() => samplingOf([recording([0, 0, 0])], {})).toThrow(InconsistentRecordingError);
  });
});
