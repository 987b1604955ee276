import { encodeModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import type { TrainedDetector, TrainingData } from '../detector.ts';
import { scoreWindows } from '../detector-session.ts';
import { InvalidTrainingOptionsError, NotEnoughDataError, UnsupportedGraphError } from '../errors.ts';
import { FIXTURE_SHAPE, machineRecording } from '../machine.fixture.ts';
import type { Layer } from '../network.ts';
import { trainPca } from '../pca/train-pca.ts';
import { quantile } from '../quantile.ts';
import { seededRandom } from '../random.ts';
import { windowsOf } from '../window-set.ts';
import { conv } from './conv.ts';
import { denseAe } from './dense-ae.ts';
import { distil } from './distil.ts';
import { runNetwork } from './fit-network.ts';
import { initialLayers } from './layer-shape.ts';
import { keptCount, pruneLayers } from './prune-layers.ts';
import { pruneStructured } from './prune-structured.ts';

const { window, ...CUT } = FIXTURE_SHAPE;
const data: TrainingData = { recordings: [machineRecording(500, 1)], window, ...CUT };
const context = { seed: 1 };
const unseen = windowsOf([machineRecording(300, 2)], FIXTURE_SHAPE);
const faulty = windowsOf(
  [machineRecording(60, 3, [{ channel: 2, fromRow: 0, toRow: 60, offset: 0.4 }])],
  FIXTURE_SHAPE,
);
const SIZE = window * 4;

/** Share of pairs in which the faulty window has the higher score. */
async function separation({ graph }: TrainedDetector): Promise<number> {
  const model = encodeModel(graph);
  const [normal, fault] = [(await scoreWindows(model, unseen)).score, (await scoreWindows(model, faulty)).score];
  const wins = Array.from(fault, (value) => normal.filter((other) => other < value).length);
  return wins.reduce((sum, count) => sum + count, 0) / (normal.length * fault.length);
}

const train = {
  'dense-ae': denseAe.train(data, { epochs: 20, folds: 3, hidden: [32, 6, 32] }, context),
  conv: conv.train(data, { epochs: 20, folds: 3, channels: [16, 32], hidden: [8, 64] }, context),
} as Readonly<Record<string, Promise<TrainedDetector>>>;

describe('removing neurons from layers', () => {
  const random = seededRandom(4);
  const inputs = new Float32Array(50 * SIZE).map(() => random() * 2 - 1);
  const twoConvolutions = initialLayers(
    [
      { kind: 'conv1d', inputs: 4, outputs: 8, kernel: 3, stride: 1, activation: 'relu' },
      { kind: 'conv1d', inputs: 8, outputs: 6, kernel: 2, stride: 2, activation: 'relu' },
      { kind: 'dense', inputs: 18, outputs: 10, activation: 'relu' },
      { kind: 'dense', inputs: 10, outputs: SIZE, activation: 'linear' },
    ],
    random,
  );

  it('changes nothing where those removed were silent or always gave the same', () => {
    const layers = twoConvolutions.map((layer): Layer => {
      if (layer.outputs === SIZE) return layer;
      // Half of each layer reads nothing: its outputs are its biases, behind a Relu.
      const perOutput = layer.kind === 'dense' ? 1 : layer.inputs * layer.kernel;
      const outputOf = (i: number): number => (layer.kind === 'dense' ? i % layer.outputs : Math.floor(i / perOutput));
      const weights = layer.weights.map((weight, i) => (outputOf(i) % 2 === 0 ? weight : 0));
      return { ...layer, weights, bias: layer.bias.map((_, j) => (j % 2 === 0 ? 0 : j - 3)) };
    });
    const pruned = pruneLayers(layers, inputs, SIZE, 0.5);
    expect(pruned.map(({ outputs }) => outputs)).toEqual([4, 3, 5, SIZE]);
    const [before, after] = [runNetwork(layers, inputs, SIZE), runNetwork(pruned, inputs, SIZE)];
    for (const [i, value] of after.entries()) expect(value).toBeCloseTo(before[i]!, 4);
  });

  it('keeps the code, and at least one neuron of a layer', () => {
    const layers = initialLayers(
      [
        { kind: 'dense', inputs: SIZE, outputs: 3, activation: 'relu' },
        { kind: 'dense', inputs: 3, outputs: 2, activation: 'linear' },
        { kind: 'dense', inputs: 2, outputs: SIZE, activation: 'linear' },
      ],
      random,
    );
    expect(pruneLayers(layers, inputs, SIZE, 0.99).map(({ outputs }) => outputs)).toEqual([1, 2, SIZE]);
    expect([keptCount(64, 0.5), keptCount(30, 0.5), keptCount(2, 0.9)]).toEqual([32, 16, 1]);
  });
});

describe.each(Object.keys(train))('half of the neurons of a trained %s', (family) => {
  it('can go: the network is smaller, cheaper, and tells faults from normal windows as before', async () => {
    const detector = await train[family]!;
    const pruned = await pruneStructured(detector, 0.5, context);
    const cost = ({ summary }: TrainedDetector): number => Number(summary.multiplyAccumulates);
    expect(cost(pruned)).toBeLessThan(cost(detector) / 1.5);
    expect(encodeModel(pruned.graph).length).toBeLessThan(encodeModel(detector.graph).length / 1.4);
    expect(await separation(pruned)).toBeGreaterThan((await separation(detector)) - 0.02);
    const { score } = await scoreWindows(encodeModel(pruned.graph), unseen);
    expect(quantile(score, 0.95)).toBeGreaterThan(0.5);
    expect(quantile(score, 0.95)).toBeLessThan(1.4);
    expect(pruned.network?.layers.map(({ outputs }) => outputs)).not.toEqual(
      detector.network?.layers.map(({ outputs }) => outputs),
    );
  });
});

describe('distillation', () => {
  it('gives a network of a tenth of the size that scores like its teacher, and the same trained alone', async () => {
    const teacher = await conv.train(data, { epochs: 20, folds: 3, channels: [32, 64], hidden: [8, 128] }, context);
    const seen: number[] = [];
    const { student, alone } = await distil(teacher, { seed: 1, onProgress: (fraction) => seen.push(fraction) });
    expect(encodeModel(student.graph).length).toBeLessThanOrEqual(encodeModel(teacher.graph).length / 10);
    expect(alone.network?.layers.map(({ outputs }) => outputs)).toEqual(
      student.network?.layers.map(({ outputs }) => outputs),
    );
    expect(await separation(student)).toBeGreaterThan(0.97 * (await separation(teacher)));
    expect(seen.at(-1)).toBe(1);
    const answers = async (detector: TrainedDetector): Promise<Float32Array> =>
      (await scoreWindows(encodeModel(detector.graph), faulty)).score;
    const [taught, untaught, wanted] = await Promise.all([student, alone, teacher].map(answers));
    const distance = (scores: Float32Array): number =>
      scores.reduce((sum, score, n) => sum + Math.abs(Math.log(score / wanted![n]!)), 0) / scores.length;
    expect(distance(taught!)).toBeLessThan(0.25);
    expect(distance(untaught!)).toBeGreaterThan(0);
  });
});

describe('what cannot be pruned or distilled', () => {
  it('is refused', async () => {
    const shape = FIXTURE_SHAPE;
    const pca: TrainedDetector = { ...trainPca(windowsOf(data.recordings, shape)), shape };
    await expect(pruneStructured(pca, 0.5, context)).rejects.toThrow(UnsupportedGraphError);
    await expect(distil(pca, context)).rejects.toThrow(/pca has none/);
    const small = await train['dense-ae']!;
    await expect(distil(small, context)).rejects.toThrow(/too small/);
    for (const share of [0, 1, -1, Number.NaN]) {
      await expect(pruneStructured(small, share, context)).rejects.toThrow(InvalidTrainingOptionsError);
    }
  });

  it('stops when asked to', async () => {
    const signal = AbortSignal.abort(new NotEnoughDataError('not now'));
    await expect(pruneStructured(await train.conv!, 0.5, { seed: 1, signal })).rejects.toThrow('not now');
    await expect(distil(await train.conv!, { seed: 1, signal })).rejects.toThrow(/not now|too small/);
  });
});
