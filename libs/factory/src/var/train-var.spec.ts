import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidTrainingOptionsError, NotEnoughDataError, UnusableDataError } from '../errors.ts';
import { machineRecording } from '../machine.fixture.ts';
import { clip, OnlineMeans, rowOf, shareOver, streamedScores, whitened } from '../mahalanobis/online.fixture.ts';
import { momentsOf } from '../mahalanobis/whitening.ts';
import { seededRandom } from '../random.ts';
import type { Recording } from '../window-set.ts';
import { fitAutoregression, forecastErrors } from './autoregression.ts';
import { trainVar, vectorAutoregression } from './train-var.ts';

const sampling = { stride: 1, rateHz: 1, maxGapMs: 10_000 };
const data = (recording: Recording) => ({ ...sampling, recordings: [recording] });
const normal = machineRecording(800, 1);
const seed = { seed: 1 };

describe('vector autoregression', async () => {
  const { detector, model } = await trainVar(data(normal), { lags: 2 });

  it('is what ONNX Runtime computes sample by sample, over a whole recording', async () => {
    const recording = machineRecording(300, 2, [{ channel: 1, fromRow: 100, toRow: 130, offset: 400 }]);
    const { coefficients, bias } = model.regression;
    const means = new OnlineMeans([model.rate]);
    const scores = await streamedScores(detector, recording);
    expect(scores).toHaveLength(298);
    const scaled = (row: number): number[] =>
      rowOf(recording, row).map((x, c) => clip((x - model.scale.center[c]!) * model.scale.inverse[c]!, 20));
    for (let row = 2; row < 300; row += 1) {
      const past = [...scaled(row - 2), ...scaled(row - 1)];
      const errors = scaled(row).map((value, c) =>
        past.reduce((rest, x, i) => rest - x * coefficients[i * 4 + c]!, value - bias[c]!),
      );
      const y = whitened(means.next(errors), model.whitening);
      const expected = Math.max(...y.map(Math.abs)) / model.unit;
      expect(Math.abs(scores[row - 2]! - expected)).toBeLessThan(1e-3 * (1 + expected));
    }
  });

  it('leaves unseen normal rows under the threshold and finds a channel that leaves the others', async () => {
    expect(shareOver(detector, await streamedScores(detector, machineRecording(600, 3)))).toBeLessThan(0.03);
    const shifted = machineRecording(100, 4, [{ channel: 2, fromRow: 0, toRow: 100, offset: 0.6 }]);
    expect(shareOver(detector, (await streamedScores(detector, shifted)).slice(25))).toBeGreaterThan(0.9);
  });

  it('finds the coefficients that made a series', () => {
    fc.assert(
      fc.property(fc.integer(), fc.double({ min: -0.9, max: 0.9, noNaN: true }), (start, coefficient) => {
        const random = seededRandom(start);
        const stretches = new Float64Array(4_000);
        let x = 0;
        for (let n = 0; n < 2_000; n += 1) {
          stretches[2 * n] = x;
          x = 3 + coefficient * x + random() - 0.5;
          stretches[2 * n + 1] = x;
        }
        const moments = momentsOf(
          stretches,
          2,
          [100, 2_000],
          Array.from({ length: 2_000 }, () => true),
        );
        const regression = fitAutoregression(moments, 1, 1, 1e-6);
        expect(regression.coefficients[0]!).toBeCloseTo(coefficient, 0);
        const errors = forecastErrors(stretches, [100, 2_000], regression);
        expect(errors.reduce((sum, value) => sum + value, 0) / errors.length).toBeCloseTo(0, 6);
        expect(Math.max(...errors.map(Math.abs))).toBeLessThan(0.7);
      }),
      { numRuns: 30 },
    );
  });

  it('forecasts means of the samples between two windows where the stride is long', async () => {
    const strided = await vectorAutoregression.train({ ...data(normal), stride: 5 }, {}, seed);
    expect(strided.shape.window).toBe(10);
    expect(shareOver(strided, await streamedScores(strided, machineRecording(900, 3)))).toBeLessThan(0.05);
    const fitted = await vectorAutoregression.train({ ...data(normal), stride: 5, window: 4 }, {}, seed);
    expect((await streamedScores(fitted, normal)).every(Number.isFinite)).toBe(true);
  });

  it('drops channels that never change and takes one channel', async () => {
    const still = { ...normal, values: normal.values.map((value, i) => (i % 4 === 3 ? 61.3 : value)) };
    const trained = await vectorAutoregression.train(data(still), {}, seed);
    expect(trained.constantChannels).toEqual([3]);
    const single = { channels: ['a'], rows: 800, values: normal.values.filter((_, i) => i % 4 === 1) };
    const one = await vectorAutoregression.train(data(single), {}, seed);
    expect(shareOver(one, await streamedScores(one, single))).toBeLessThan(0.05);
  });

  it('refuses data and options that cannot work', async () => {
    await expect(trainVar(data(machineRecording(40, 1)))).rejects.toThrow(NotEnoughDataError);
    const still = { ...normal, values: normal.values.map(() => 3) };
    await expect(trainVar(data(still))).rejects.toThrow(UnusableDataError);
    await expect(trainVar(data(normal), { ridge: 0 })).rejects.toThrow(InvalidTrainingOptionsError);
    await expect(trainVar({ ...data(normal), window: 1 })).rejects.toThrow(InvalidTrainingOptionsError);
  });
});
