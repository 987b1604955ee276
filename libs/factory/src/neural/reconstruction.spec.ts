import { encodeModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import type { TrainedDetector, TrainingContext, TrainingData } from '../detector.ts';
import { scoreWindows } from '../detector-session.ts';
import { InvalidTrainingOptionsError, NotEnoughDataError, UnusableDataError } from '../errors.ts';
import { FIXTURE_SHAPE, machineRecording } from '../machine.fixture.ts';
import { quantile } from '../quantile.ts';
import { concatFloats, windowsOf } from '../window-set.ts';
import type { Recording, WindowSet } from '../window-set.ts';
import { assembleDetector } from './assemble-detector.ts';
import { conv } from './conv.ts';
import { normalised } from './cross-fit.ts';
import { denseAe } from './dense-ae.ts';
import { errorTerms, scoresOf, termWeights } from './error-terms.ts';
import { runNetwork } from './fit-network.ts';

const { window: WINDOW, ...CUT } = FIXTURE_SHAPE;
const QUICK = { epochs: 25, folds: 4, patience: 25 };

function dataOf(...recordings: Recording[]): TrainingData {
  return { recordings, window: WINDOW, ...CUT };
}

/** The windows of 60 rows in which one channel is off. */
function faulty(channel: number, offset: number): WindowSet {
  return windowsOf([machineRecording(60, 3, [{ channel, fromRow: 0, toRow: 60, offset }])], FIXTURE_SHAPE);
}

const unseen = windowsOf([machineRecording(400, 2)], FIXTURE_SHAPE);
const context: TrainingContext = { seed: 1 };

const FAMILIES = {
  'dense-ae': (data: TrainingData, options: object, given: TrainingContext) =>
    denseAe.train(data, { ...QUICK, hidden: [16, 4, 16], ...options }, given),
  conv: (data: TrainingData, options: object, given: TrainingContext) =>
    conv.train(data, { ...QUICK, channels: [8, 16], hidden: [6, 16], ...options }, given),
};

describe.each(Object.entries(FAMILIES))('%s', (name, train) => {
  const trained = train(dataOf(machineRecording(600, 1)), {}, context) as Promise<TrainedDetector>;

  it('leaves unseen normal windows under the threshold', async () => {
    const { graph, policy } = await trained;
    const { score } = await scoreWindows(encodeModel(graph), unseen);
    const over = score.filter((value) => policy.kind === 'threshold' && value >= policy.threshold).length;
    expect(over / score.length).toBeLessThan(0.03);
    expect(quantile(score, 0.95)).toBeGreaterThan(0.5);
  });

  it('notices a value that is ordinary by itself but does not fit the others, and names its channel', async () => {
    const { graph } = await trained;
    const { score, contributions } = await scoreWindows(encodeModel(graph), faulty(2, 0.4));
    expect(quantile(score, 0.1)).toBeGreaterThan(1.4);
    const named = Array.from(score, (_, n) => {
      const row = contributions.subarray(n * 4, (n + 1) * 4);
      return row.indexOf(Math.max(...row));
    });
    expect(named.filter((channel) => channel === 2).length / named.length).toBeGreaterThan(0.8);
  });

  it('gives contributions that add up to the square of the score', async () => {
    const { graph } = await trained;
    const { score, contributions } = await scoreWindows(encodeModel(graph), faulty(1, 20));
    for (const [n, value] of score.entries()) {
      const parts = contributions.subarray(n * 4, (n + 1) * 4);
      expect(Math.min(...parts)).toBeGreaterThanOrEqual(0);
      expect(parts.reduce((sum, part) => sum + part, 0) / value ** 2).toBeCloseTo(1, 4);
    }
  });

  it('is exported exactly: the graph gives the error of the network as computed from its definition', async () => {
    const { graph, network } = await trained;
    const { layers, normaliser } = network!;
    const z = normalised(unseen, normaliser);
    const terms = errorTerms(z, runNetwork(layers, z, WINDOW * 4), unseen);
    const { score } = await scoreWindows(encodeModel(graph), unseen);
    const [first] = score;
    // Weights of any scale give the same score but for one factor.
    const { folds, ...rest } = network!;
    expect(folds.length).toBe(QUICK.folds);
    const everywhere = Array.from({ length: unseen.count }, () => true);
    const weights = termWeights(terms, everywhere, [true, true, true, true]);
    const other = assembleDetector({
      family: name,
      set: unseen,
      shape: FIXTURE_SHAPE,
      normal: everywhere,
      normaliser,
      summary: {},
      crossFit: { layers, folds, terms, epochs: 1, loss: 0 },
      training: { ...rest.training, unitQuantile: 0.5 },
      policy: { kind: 'threshold', threshold: 1, releaseRatio: 1, minLength: 1 },
    });
    const expected = scoresOf(terms, weights);
    const unit = quantile(expected, 0.5);
    const given = await scoreWindows(encodeModel(other.graph), unseen);
    for (const [n, value] of given.score.entries()) expect(value / (expected[n]! / unit)).toBeCloseTo(1, 3);
    expect(first).toBeGreaterThan(0);
  });

  it('is the same for the same seed, and another for another', async () => {
    const [same, other] = await Promise.all([
      train(dataOf(machineRecording(600, 1)), {}, context),
      train(dataOf(machineRecording(600, 1)), {}, { seed: 2 }),
    ]);
    const first = encodeModel((await trained).graph);
    expect(Buffer.compare(encodeModel(same.graph), first)).toBe(0);
    expect(Buffer.compare(encodeModel(other.graph), first)).not.toBe(0);
  });

  it('sets contaminated windows aside', async () => {
    const fault = { channel: 1, fromRow: 300, toRow: 340, offset: 60 };
    const detector = await train(dataOf(machineRecording(600, 1, [fault])), {}, context);
    const inFault = detector.normal.slice(300, 333);
    const outside = [...detector.normal.slice(0, 290), ...detector.normal.slice(345)];
    expect(inFault.filter((flag) => !flag).length / inFault.length).toBeGreaterThan(0.9);
    expect(outside.filter((flag) => flag).length / outside.length).toBeGreaterThan(0.97);
  });

  it('does not look at a channel that never changes', async () => {
    const recording = machineRecording(400, 1);
    const values = recording.values.map((value, i) => (i % 4 === 3 ? 7 : value));
    const detector = await train(dataOf({ ...recording, values }), {}, context);
    expect(detector.constantChannels).toEqual([3]);
    const { contributions } = await scoreWindows(encodeModel(detector.graph), faulty(3, 1_000));
    expect(contributions.filter((_, i) => i % 4 === 3).every((value) => value === 0)).toBe(true);
  });

  it('stops when asked to, and tells how far it is', async () => {
    const controller = new AbortController();
    const seen: number[] = [];
    const training = train(
      dataOf(machineRecording(400, 1)),
      {},
      {
        seed: 1,
        signal: controller.signal,
        onProgress: (fraction, loss) => {
          expect(Number.isFinite(loss)).toBe(true);
          seen.push(fraction);
          if (fraction > 0.3) controller.abort(new NotEnoughDataError('enough of it'));
        },
      },
    );
    await expect(Promise.resolve(training)).rejects.toThrow('enough of it');
    expect(seen.toSorted((a, b) => a - b)).toEqual(seen);
    expect(seen.at(-1)).toBeLessThan(0.5);
  });
});

describe('training data and options that cannot work', () => {
  it.each([
    ['too few rows', machineRecording(40, 1), {}, NotEnoughDataError],
    [
      'nothing that changes',
      { ...machineRecording(200, 1), values: new Float32Array(800).fill(3) },
      {},
      UnusableDataError,
    ],
    ['no layers', machineRecording(200, 1), { hidden: [] }, InvalidTrainingOptionsError],
    ['a number that is none', machineRecording(200, 1), { learningRate: 'fast' }, InvalidTrainingOptionsError],
    ['half a fold', machineRecording(200, 1), { folds: 2.5 }, InvalidTrainingOptionsError],
  ])('are refused: %s', async (_, recording, options, error) => {
    const train = async (): Promise<TrainedDetector> => denseAe.train(dataOf(recording), options as object, context);
    await expect(train()).rejects.toThrow(error);
  });

  it('are refused: a window that is too short for so many convolutions', async () => {
    const train = async (): Promise<TrainedDetector> =>
      conv.train(dataOf(machineRecording(200, 1)), { channels: [4, 4, 4] }, context);
    await expect(train()).rejects.toThrow(/too short for 3/);
  });

  it('are not refused: one channel', async () => {
    const { values } = machineRecording(300, 1);
    const single = { channels: ['a'], rows: 300, values: values.filter((_, i) => i % 4 === 0) };
    const detector = await denseAe.train(dataOf(single), QUICK, context);
    expect(detector.shape.window).toBe(WINDOW);
    expect(concatFloats([detector.trainedOn.data]).length).toBe(detector.trainedOn.count * WINDOW);
  });
});
