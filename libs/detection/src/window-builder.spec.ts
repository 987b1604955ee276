import { assert, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WindowBuilder, secondsOfWeek } from './window-builder.ts';
import type { WindowSpec } from './window-builder.ts';

const base: WindowSpec = { channelCount: 2, window: 3, stride: 1, warmup: 0, maxGapMs: 5_000, stale: 'restart' };

function windowOf(builder: WindowBuilder): number[] {
  const target = new Float32Array(builder.spec.window * builder.spec.channelCount);
  builder.copyWindow(target);
  return [...target];
}

describe('WindowBuilder', () => {
  it('gives no window before W samples came, then one per stride', () => {
    const builder = new WindowBuilder({ ...base, stride: 2 });
    const steps = [1, 2, 3, 4, 5, 6, 7].map((i) => builder.push(i * 1_000, [i, -i]));
    expect(steps).toEqual(['none', 'none', 'ready', 'none', 'ready', 'none', 'ready']);
    expect(windowOf(builder)).toEqual([5, -5, 6, -6, 7, -7]);
  });

  it('holds the newest W rows in order, whatever was pushed before', () => {
    assert(
      property(
        integer({ min: 1, max: 9 }),
        integer({ min: 1, max: 5 }),
        integer({ min: 1, max: 300 }),
        (window, stride, samples) => {
          const builder = new WindowBuilder({ ...base, window, stride });
          const seen: number[] = [];
          for (let i = 0; i < samples; i += 1) {
            seen.push(i, i / 2);
            const due = i + 1 >= window && (i + 1 - window) % stride === 0;
            expect(builder.push(i, [i, i / 2])).toBe(due ? 'ready' : 'none');
            if (due) expect(windowOf(builder)).toEqual(seen.slice(-2 * window));
          }
        },
      ),
    );
  });

  it('marks the first windows as warming, and again after a gap', () => {
    const builder = new WindowBuilder({ ...base, window: 1, warmup: 2 });
    const at = (timeMs: number): string => builder.push(timeMs, [0, 0]);
    expect([at(0), at(1_000), at(2_000)]).toEqual(['warming', 'warming', 'ready']);
    expect(at(7_001)).toBe('warming');
    expect(builder.restarted).toBe(true);
    expect(at(8_000)).toBe('warming');
    expect(builder.restarted).toBe(false);
  });

  it('starts anew after a step in time longer than the largest gap, forwards or backwards', () => {
    for (const step of [5_001, -5_001]) {
      const builder = new WindowBuilder(base);
      for (let i = 0; i < 3; i += 1) builder.push(100_000 + i, [1, 1]);
      expect(builder.push(100_002 + step, [2, 2])).toBe('none');
      expect(builder.restarted).toBe(true);
      builder.push(100_003 + step, [3, 3]);
      expect(builder.push(100_004 + step, [4, 4])).toBe('ready');
      expect(windowOf(builder)).toEqual([2, 2, 3, 3, 4, 4]);
    }
  });

  it('takes duplicate and slightly backward times as the next sample', () => {
    const builder = new WindowBuilder(base);
    builder.push(10_000, [1, 1]);
    builder.push(10_000, [2, 2]);
    expect(builder.push(9_000, [3, 3])).toBe('ready');
    expect(builder.counters.restarts).toBe(0);
  });

  it('holds the last value of a missing one and says so in the mask', () => {
    const builder = new WindowBuilder(base);
    builder.push(0, [1, 10]);
    builder.push(1_000, [Number.NaN, 20]);
    expect(builder.push(2_000, [Number.POSITIVE_INFINITY, 1e39])).toBe('ready');
    expect(windowOf(builder)).toEqual([1, 10, 1, 20, 1, 20]);
    const mask = new Float32Array(6);
    builder.copyMask(mask);
    expect([...mask]).toEqual([1, 1, 0, 1, 0, 0]);
    expect(builder.counters.missingValues).toBe(3);
  });

  it('gives no window while a channel is away for longer than the gap, without a mask', () => {
    const builder = new WindowBuilder({ ...base, window: 2 });
    const steps = [];
    for (let i = 0; i < 12; i += 1) steps.push(builder.push(i * 1_000, [i, i >= 2 && i < 9 ? Number.NaN : i]));
    // The last value at 1 s holds until 6 s; at 9 s it is back and at 10 s there are two whole rows.
    expect(steps.map((step) => step === 'ready')).toEqual([
      false,
      true,
      true,
      true,
      true,
      true,
      true,
      false,
      false,
      false,
      true,
      true,
    ]);
    expect(builder.counters.restarts).toBe(1);
    expect(windowOf(builder)).toEqual([10, 10, 11, 11]);
  });

  it('goes on while a channel is away, with a mask, and never shows the graph a NaN', () => {
    const builder = new WindowBuilder({ ...base, window: 2, stale: 'mask' });
    for (let i = 0; i < 60; i += 1) builder.push(i * 1_000, [i, Number.NaN]);
    expect(windowOf(builder)).toEqual([58, 0, 59, 0]);
  });

  it('gives times as seconds since Monday, UTC', () => {
    expect(secondsOfWeek(Date.UTC(2026, 10, 23))).toBe(0);
    expect(secondsOfWeek(Date.UTC(2026, 10, 24, 1, 0, 0, 500))).toBe(90_000.5);
    expect(secondsOfWeek(Date.UTC(1969, 11, 28, 23, 59, 59))).toBe(7 * 86_400 - 1);
    const builder = new WindowBuilder(base);
    for (let i = 0; i < 3; i += 1) builder.push(Date.UTC(2026, 10, 23, 0, 0, i), [0, 0]);
    const times = new Float32Array(3);
    builder.copyTimes(times);
    expect([...times]).toEqual([0, 1, 2]);
  });
});
