import { encodeModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { InvalidTrainingOptionsError, NotEnoughDataError, UnusableDataError } from '../errors.ts';
import { machineRecording } from '../machine.fixture.ts';
import type { Recording } from '../window-set.ts';
import { OnlineMeans, rowOf, shareOver, streamedScores, whitened } from './online.fixture.ts';
import { mahalanobis, trainMahalanobis } from './train-mahalanobis.ts';

const sampling = { stride: 1, rateHz: 1, maxGapMs: 10_000 };
const data = (recording: Recording) => ({ ...sampling, recordings: [recording] });
const normal = machineRecording(800, 1);
const seed = { seed: 1 };

describe('the Mahalanobis distance of smoothed channels', async () => {
  const { detector, model, heldOut } = await trainMahalanobis(data(normal));

  it('is what ONNX Runtime computes sample by sample, over a whole recording', async () => {
    const recording = machineRecording(300, 2, [{ channel: 1, fromRow: 100, toRow: 130, offset: 1e6 }]);
    const means = new OnlineMeans(model.rates);
    const scores = await streamedScores(detector, recording);
    expect(scores).toHaveLength(300);
    for (let row = 0; row < 300; row += 1) {
      const scaled = rowOf(recording, row).map((x, c) => (x - model.scale.center[c]!) * model.scale.inverse[c]!);
      const e = means.next(scaled).map((value, c) => value - model.mean[c]!);
      const y = whitened(e, model.whitening);
      const expected = Math.sqrt(y.reduce((sum, value) => sum + value * value, 0) / y.length) / model.unit;
      expect(Math.abs(scores[row]! - expected)).toBeLessThan(1e-3 * (1 + expected));
    }
  });

  it('leaves unseen normal rows under the threshold and finds a lasting shift', async () => {
    expect(shareOver(detector, await streamedScores(detector, machineRecording(600, 3)))).toBeLessThan(0.03);
    const shifted = machineRecording(100, 4, [{ channel: 2, fromRow: 0, toRow: 100, offset: 2 }]);
    expect(shareOver(detector, (await streamedScores(detector, shifted)).slice(20))).toBe(1);
  });

  it('scales the score by held-out rows', () => {
    const sorted = heldOut.filter((_, n) => detector.normal[n]).toSorted();
    expect(sorted[Math.floor(0.95 * sorted.length)]!).toBeCloseTo(1, 1);
  });

  it('is the same for the same data', async () => {
    const again = await mahalanobis.train(data(normal), {}, seed);
    expect(encodeModel(again.graph)).toEqual(encodeModel(detector.graph));
  });

  it('sets contaminated rows aside and still finds the fault afterwards', async () => {
    const fault = { channel: 2, fromRow: 300, toRow: 360, offset: 3 };
    const trained = await mahalanobis.train(data(machineRecording(800, 1, [fault])), {}, seed);
    const aside = trained.normal.flatMap((flag, n) => (flag ? [] : [n]));
    expect(aside.filter((n) => n >= 302 && n < 360)).toHaveLength(58);
    expect(aside.length).toBeLessThan(100);
    const shifted = machineRecording(100, 4, [{ channel: 2, fromRow: 0, toRow: 100, offset: 3 }]);
    expect(shareOver(trained, (await streamedScores(trained, shifted)).slice(20))).toBe(1);
  });

  it('widens the scale of a channel that wandered slowly, not of the others', async () => {
    const wandering = drifting(600, 0);
    const { summary } = await mahalanobis.train(data(wandering), {}, seed);
    const widening = summary['widening'] as number[];
    expect(widening[3]!).toBeGreaterThan(2);
    expect(Math.max(...widening.slice(0, 3))).toBeLessThan(widening[3]! / 1.3);
  });

  it('averages the samples between two windows where the stride is long', async () => {
    const { detector: strided, model: own } = await trainMahalanobis({ ...data(normal), stride: 5 });
    expect(strided.shape.window).toBe(5);
    const scores = await streamedScores(strided, normal);
    const first = [0, 1, 2, 3].map((c) => {
      const mean = [0, 1, 2, 3, 4].reduce((sum, row) => sum + rowOf(normal, row)[c]! / 5, 0);
      return (mean - own.scale.center[c]!) * own.scale.inverse[c]! - own.mean[c]!;
    });
    const y = whitened(first, own.whitening);
    expect(scores[0]!).toBeCloseTo(Math.sqrt(y.reduce((sum, value) => sum + value ** 2, 0) / 4) / own.unit, 3);
  });

  it('drops channels that never change and takes one channel', async () => {
    const still = { ...normal, values: normal.values.map((value, i) => (i % 4 === 3 ? 61.3 : value)) };
    const trained = await mahalanobis.train(data(still), {}, seed);
    expect(trained.constantChannels).toEqual([3]);
    expect(shareOver(trained, await streamedScores(trained, machineRecording(300, 3)))).toBeLessThan(0.05);
    const single = { channels: ['a'], rows: 800, values: normal.values.filter((_, i) => i % 4 === 1) };
    const one = await mahalanobis.train(data(single), {}, seed);
    expect((await streamedScores(one, single)).every(Number.isFinite)).toBe(true);
  });

  it('trains a long recording in pieces', async () => {
    const trained = await mahalanobis.train(data(machineRecording(3_000, 5)), { maxRows: 800 }, seed);
    expect(trained.trainedOn.count).toBeLessThanOrEqual(800);
    expect(shareOver(trained, await streamedScores(trained, machineRecording(600, 3)))).toBeLessThan(0.05);
  });

  it('refuses data and options that cannot work', async () => {
    await expect(trainMahalanobis(data(machineRecording(40, 1)))).rejects.toThrow(NotEnoughDataError);
    const still = { ...normal, values: normal.values.map(() => 3) };
    await expect(trainMahalanobis(data(still))).rejects.toThrow(UnusableDataError);
    await expect(trainMahalanobis(data(normal), { rate: 0 })).rejects.toThrow(InvalidTrainingOptionsError);
  });
});

/** The fixture's machine, whose last channel wanders off from a row on. */
function drifting(rows: number, fromRow: number): Recording {
  const recording = machineRecording(rows, 6);
  const values = recording.values.map((value, i) => {
    const row = Math.floor(i / 4);
    return i % 4 === 3 ? 60 + 3 * Math.sin(row / 150) + 0.05 * (value - 60) * (row >= fromRow ? 1 : 0) : value;
  });
  return { channels: recording.channels, rows, values };
}
