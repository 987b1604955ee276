import { DataType, encodeModel, float32, GraphBuilder } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { scoreWindows } from '../detector-session.ts';
import { seededRandom } from '../random.ts';
import { foldBatchNorm } from './fold-batch-norm.ts';
import { inspectOptimised } from './inspect-optimised.ts';
import { CHANNELS, denseNetwork, waves, WINDOW } from './networks.fixture.ts';
import { quantizeInt8 } from './quantize-int8.ts';

/** Convolutions with a normalisation after each, the first one with a bias, as other trainers export them. */
function normalisedConvolutions(random: () => number): ValidModel {
  const graph = new GraphBuilder('foreign');
  const window = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
  const vector = (name: string, size: number, low = -0.5) =>
    graph.initializer(name, float32(Array.from({ length: size }, () => low + random())));
  let x = graph.node('Transpose', [window], { perm: [0, 2, 1] });
  for (const [i, [from, to]] of [[CHANNELS, 8] as const, [8, CHANNELS] as const].entries()) {
    const weights = Array.from({ length: to * from * 3 }, () => random() - 0.5);
    const kernel = graph.initializer('kernel', float32(weights, [to, from, 3]));
    x = graph.node('Conv', [x, kernel, ...(i === 0 ? [vector('bias', to)] : [])], { pads: [1, 1] });
    const statistics = [vector('scale', to, 0.5), vector('shift', to), vector('mean', to), vector('variance', to, 0.2)];
    x = graph.node('BatchNormalization', [x, ...statistics]);
    if (i === 0) x = graph.node('Relu', [x]);
  }
  const error = graph.node('Sub', [window, graph.node('Transpose', [x], { perm: [0, 2, 1] })]);
  const square = graph.node('Mul', [error, error]);
  graph.node('ReduceMean', [square], { axes: [1], keepdims: 0 }, { outputs: ['contributions'] });
  graph.node('ReduceMean', ['contributions'], { axes: [1], keepdims: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', CHANNELS]);
  return graph.build({ opset: 17, irVersion: 8 });
}

describe('batch normalisation', () => {
  it('goes into the weights before it, with the same scores', async () => {
    const random = seededRandom(1);
    const model = normalisedConvolutions(random);
    const folded = foldBatchNorm(model);
    expect(folded.graph.node.map(({ opType }) => opType)).not.toContain('BatchNormalization');
    const windows = waves(random, 32);
    const exact = await scoreWindows(encodeModel(model), windows);
    const same = await scoreWindows(encodeModel(folded), windows);
    for (const [n, value] of exact.score.entries()) expect(same.score[n]! / value).toBeCloseTo(1, 4);
  });

  it('does not break a chain of integer convolutions', async () => {
    const random = seededRandom(2);
    const { model } = await quantizeInt8(normalisedConvolutions(random), waves(random, 32));
    const { operators, leftoverDequantize } = await inspectOptimised(model);
    expect(operators).toMatchObject({ 'com.microsoft.QLinearConv': 2, QuantizeLinear: 1, DequantizeLinear: 1 });
    expect(leftoverDequantize).toEqual([]);
  });

  it('of what is read twice, or learns on, stays', () => {
    const model = normalisedConvolutions(seededRandom(3));
    const learning = structuredClone(model);
    for (const node of learning.graph.node) {
      if (node.opType !== 'BatchNormalization') continue;
      const empty = { floats: [], ints: [], strings: [], tensors: [], graphs: [], sparseTensors: [] };
      node.attribute.push({ ...empty, name: 'training_mode', type: 2, i: 1n });
    }
    expect(foldBatchNorm(learning)).toBe(learning);
    const plain = denseNetwork(seededRandom(3));
    expect(foldBatchNorm(plain)).toBe(plain);
  });
});
