import { array, assert, double, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Resampler, needsResampling } from './resampler.ts';

const all = { resampling: ['mean', 'last', 'min', 'max', 'sum'], sourceRateHz: 4, rateHz: 1 } as const;

describe('Resampler', () => {
  it('summarises each period as the channels ask, with its last sample', () => {
    const resampler = new Resampler(all);
    const out: unknown[] = [];
    for (let i = 0; i < 8; i += 1) {
      const v = (i % 4) + 1;
      if (resampler.push(i * 250, [v, v, v, v, v])) out.push([resampler.timeMs, ...resampler.values]);
    }
    expect(out).toEqual([
      [750, 2.5, 4, 1, 4, 10],
      [1_750, 2.5, 4, 1, 4, 10],
    ]);
  });

  it('leaves missing values out, and gives NaN where a channel had none', () => {
    const resampler = new Resampler({ resampling: ['mean', 'mean'], sourceRateHz: 2, rateHz: 1 });
    resampler.push(0, [3, Number.NaN]);
    expect(resampler.push(500, [Number.NaN, Number.NaN])).toBe(true);
    expect([...resampler.values]).toEqual([3, Number.NaN]);
  });

  it('loses no period whose last samples were lost, and gives at most one per push', () => {
    const resampler = new Resampler({ resampling: ['sum'], sourceRateHz: 2, rateHz: 1 });
    const out: number[] = [];
    for (const [timeMs, value] of [
      [0, 1],
      [1_500, 2],
      [2_000, 4],
      [2_500, 8],
    ] as const) {
      if (resampler.push(timeMs, [value])) out.push(resampler.values[0]!);
    }
    expect(out).toEqual([1, 2, 12]);
  });

  it('gives one sample per period from a source that jitters, and leaves no sample out of the sums', () => {
    assert(
      property(array(double({ min: -0.3, max: 0.3, noNaN: true }), { minLength: 12, maxLength: 200 }), (jitter) => {
        const resampler = new Resampler({ resampling: ['sum'], sourceRateHz: 4, rateHz: 1 });
        const periods = Math.floor(jitter.length / 4);
        let out = 0;
        let sum = 0;
        for (let i = 0; i < periods * 4; i += 1) {
          if (!resampler.push((i + 0.5 + jitter[i]!) * 250, [1])) continue;
          out += 1;
          sum += resampler.values[0]!;
        }
        expect(out).toBeGreaterThanOrEqual(periods - 1);
        expect(out).toBeLessThanOrEqual(periods);
        expect(Math.abs(periods * 4 - sum)).toBeLessThanOrEqual(4);
      }),
    );
  });

  it('is used for sources that are clearly faster only', () => {
    expect([1, 1.2, 1.5, 100].map((rate) => needsResampling(rate, 1))).toEqual([false, false, true, true]);
  });
});
