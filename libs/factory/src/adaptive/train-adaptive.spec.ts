import { describe, expect, it } from 'vitest';
import { InvalidTrainingOptionsError, NotEnoughDataError, UnusableDataError } from '../errors.ts';
import { machineRecording } from '../machine.fixture.ts';
import { OnlineMeans, rowOf, shareOver, streamedScores, whitened } from '../mahalanobis/online.fixture.ts';
import { mahalanobis } from '../mahalanobis/train-mahalanobis.ts';
import type { Recording } from '../window-set.ts';
import { adaptive, trainAdaptive } from './train-adaptive.ts';

const sampling = { stride: 1, rateHz: 1, maxGapMs: 10_000 };
const data = (recording: Recording) => ({ ...sampling, recordings: [recording] });
const normal = machineRecording(800, 1);
const seed = { seed: 1 };

/** A recording that drifts away by so much per row in its second channel. */
function drifting(recording: Recording, perRow: number): Recording {
  const values = recording.values.map((value, i) => (i % 4 === 1 ? value + Math.floor(i / 4) * perRow : value));
  return { channels: recording.channels, rows: recording.rows, values };
}

describe('adaptive baselines', async () => {
  const { detector, model } = await trainAdaptive(data(normal));

  it('are what ONNX Runtime computes sample by sample, over a whole recording', async () => {
    const recording = machineRecording(400, 2, [{ channel: 1, fromRow: 100, toRow: 160, offset: 90 }]);
    const { rate, freeze, frozenShare } = model.following;
    const { inverse } = model.whitening;
    const means = new OnlineMeans(model.rates);
    const baseline = Array.from({ length: 8 }, () => 0);
    const scores = await streamedScores(detector, recording);
    let held = 0;
    for (let row = 0; row < 400; row += 1) {
      const scaled = rowOf(recording, row).map((x, c) => (x - model.scale.center[c]!) * model.scale.inverse[c]!);
      const e = means.next(scaled).map((value, i) => value - baseline[i]!);
      const expected = Math.max(...whitened(e, model.whitening).map(Math.abs)) / model.unit;
      expect(Math.abs(scores[row]! - expected)).toBeLessThan(1e-3 * (1 + expected));
      for (const [i, value] of e.entries()) {
        const far = Math.abs(value * inverse[i]!) >= freeze;
        held += far ? 1 : 0;
        baseline[i]! += rate * (far ? frozenShare : 1) * value;
      }
    }
    expect(held).toBeGreaterThan(50);
  });

  it('follow slow drift that a fixed baseline alarms at', async () => {
    const drift = drifting(machineRecording(4_000, 3), 0.01);
    const fixed = await mahalanobis.train(data(normal), {}, seed);
    expect(shareOver(detector, await streamedScores(detector, drift))).toBeLessThan(0.05);
    expect(shareOver(fixed, await streamedScores(fixed, drift))).toBeGreaterThan(0.5);
  });

  it('stay where they are while a fault lasts, and end it with the fault', async () => {
    const fault = { channel: 2, fromRow: 300, toRow: 900, offset: 2 };
    const scores = await streamedScores(detector, machineRecording(1_200, 4, [fault]));
    expect(shareOver(detector, scores.slice(320, 900))).toBeGreaterThan(0.98);
    expect(shareOver(detector, scores.slice(1_000))).toBeLessThan(0.05);
  });

  it('are not led astray by a fault in the training data', async () => {
    const fault = { channel: 2, fromRow: 300, toRow: 380, offset: 3 };
    const trained = await adaptive.train(data(machineRecording(800, 1, [fault])), {}, seed);
    const shifted = machineRecording(100, 4, [{ channel: 2, fromRow: 0, toRow: 100, offset: 3 }]);
    expect(shareOver(trained, (await streamedScores(trained, shifted)).slice(20))).toBe(1);
    expect(shareOver(trained, await streamedScores(trained, machineRecording(600, 5)))).toBeLessThan(0.03);
  });

  it('cope with one channel, two values, and channels that never change', async () => {
    const values = Float32Array.from({ length: 1_200 }, (_, i) =>
      i % 3 === 0 ? 7 : i % 3 === 1 ? (Math.floor(i / 240) % 2 === 0 ? 0 : 1) : normal.values[i]!,
    );
    const odd = { channels: ['still', 'switch', 'value'], rows: 400, values };
    const trained = await adaptive.train(data(odd), {}, seed);
    expect(trained.constantChannels).toEqual([0]);
    expect(shareOver(trained, await streamedScores(trained, odd))).toBeLessThan(0.1);
    const single = { channels: ['a'], rows: 800, values: normal.values.filter((_, i) => i % 4 === 1) };
    const one = await adaptive.train(data(single), {}, seed);
    expect(shareOver(one, await streamedScores(one, single))).toBeLessThan(0.05);
  });

  it('refuse data and options that cannot work', async () => {
    await expect(trainAdaptive(data(machineRecording(40, 1)))).rejects.toThrow(NotEnoughDataError);
    const still = { ...normal, values: normal.values.map(() => 3) };
    await expect(trainAdaptive(data(still))).rejects.toThrow(UnusableDataError);
    await expect(trainAdaptive(data(normal), { rates: [] })).rejects.toThrow(InvalidTrainingOptionsError);
  });
});
