import { describe, expect, it } from 'vitest';
import { InconsistentRecordingError } from './errors.ts';
import { eachWindowBatch, thinned, windowsOf } from './window-set.ts';
import type { Recording, WindowSet } from './window-set.ts';

const SHAPE = { window: 3, stride: 1, rateHz: 1, maxGapMs: 2_000 };

function recording(values: readonly number[], timesMs?: readonly number[]): Recording {
  return {
    channels: ['a'],
    rows: values.length,
    values: Float32Array.from(values),
    ...(timesMs === undefined ? {} : { timesMs: Float64Array.from(timesMs) }),
  };
}

describe('cutting recordings into windows', () => {
  it('slides by the stride', () => {
    expect([...windowsOf([recording([1, 2, 3, 4, 5])], SHAPE).data]).toEqual([1, 2, 3, 2, 3, 4, 3, 4, 5]);
    const wide = windowsOf([recording([1, 2, 3, 4, 5])], { ...SHAPE, stride: 2 });
    expect([...wide.data]).toEqual([1, 2, 3, 3, 4, 5]);
    expect(wide.overlap).toBe(1);
  });

  it('makes no window over a gap, nor over two recordings', () => {
    const gap = recording([1, 2, 3, 4, 5, 6], [0, 1_000, 2_000, 60_000, 61_000, 62_000]);
    expect([...windowsOf([gap], SHAPE).data]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(windowsOf([recording([1, 2]), recording([3, 4])], SHAPE).count).toBe(0);
  });

  it('says at which rows windows end and where the stream starts anew', async () => {
    const gap = recording([1, 2, 3, 4, 5, 6], [0, 1_000, 2_000, 60_000, 61_000, 62_000]);
    const batches: WindowSet[] = [];
    const rows = await eachWindowBatch(gap, SHAPE, async (batch) => void batches.push(batch));
    expect([...rows.ends]).toEqual([2, 5]);
    expect([...rows.restarts]).toEqual([3]);
    expect(batches.map(({ count, data }) => [count, ...data])).toEqual([[2, 1, 2, 3, 4, 5, 6]]);
  });

  it('gives a long recording in batches that together are all its windows', async () => {
    const long = recording(Array.from({ length: 5_000 }, (_, i) => i));
    const parts: number[] = [];
    const rows = await eachWindowBatch(long, SHAPE, async ({ data }) => void parts.push(...data));
    expect(rows.ends.length).toBe(4_998);
    expect(parts).toEqual([...windowsOf([long], SHAPE).data]);
  });

  it('holds the last value where one is missing, and never gives NaN', () => {
    expect([...windowsOf([recording([Number.NaN, 1, Number.NaN, 3])], SHAPE).data]).toEqual([1, 1, 3]);
  });

  it('uses only the rows it is told to', () => {
    expect([...windowsOf([recording([1, 2, 3, 4, 5, 6])], SHAPE, [1, 5]).data]).toEqual([2, 3, 4, 3, 4, 5]);
  });

  it('thins out evenly', () => {
    const set = windowsOf([recording(Array.from({ length: 102 }, (_, i) => i))], SHAPE);
    const few = thinned(set, 10);
    expect(few.count).toBe(10);
    expect(Array.from({ length: 10 }, (_, n) => few.data[n * 3])).toEqual([5, 15, 25, 35, 45, 55, 65, 75, 85, 95]);
    expect(thinned(set, 1_000)).toBe(set);
    const long = recording(Array.from({ length: 102 }, (_, i) => i));
    expect(windowsOf([long], SHAPE, [0, Infinity], 10)).toEqual(few);
  });

  it('refuses recordings that do not belong together', () => {
    const other = { ...recording([1, 2, 3]), channels: ['b'] };
    expect(() => windowsOf([recording([1, 2, 3]), other], SHAPE)).toThrow(/Recording 2 has the channels b/);
    expect(() => windowsOf([], SHAPE)).toThrow(InconsistentRecordingError);
    expect(() => windowsOf([{ ...recording([1, 2, 3]), rows: 4 }], SHAPE)).toThrow(/3 values, not 4/);
    expect(() => windowsOf([{ ...recording([1, 2, 3]), labels: new Uint8Array(2) }], SHAPE)).toThrow(/2 labels, not 3/);
  });
});
