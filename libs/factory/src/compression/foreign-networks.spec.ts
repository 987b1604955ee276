import { DataType, encodeModel, float, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { scoreWindows } from '../detector-session.ts';
import { UnsupportedGraphError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import { costOf } from './cost-of.ts';
import { inspectOptimised } from './inspect-optimised.ts';
import { CHANNELS, waves, WINDOW } from './networks.fixture.ts';
import { quantizeInt4 } from './quantize-int4.ts';
import { quantizeInt8Dynamic } from './quantize-int8-dynamic.ts';
import { quantizeInt8 } from './quantize-int8.ts';
import { sparsify } from './sparsify.ts';
import { toFp16 } from './to-fp16.ts';

/** Forms of networks that are not trained here, but may be brought along. Each gives back a window. */
type Form = (graph: GraphBuilder, window: string, weights: (...dims: number[]) => string) => string;

const SIZE = WINDOW * CHANNELS;

const FORMS: Readonly<Record<string, Form>> = {
  'dense layers with transposed weights': (g, x, w) => {
    const hidden = g.node('Relu', [g.node('Gemm', [g.node('Flatten', [x]), w(32, SIZE), w(32)], { transB: 1 })]);
    return g.node('Gemm', [hidden, w(SIZE, 32), w(SIZE)], { transB: 1 });
  },
  'weights written as nodes': (g, x) => {
    const random = seededRandom(9);
    const values = Array.from({ length: SIZE * SIZE }, () => (random() - 0.5) / 5);
    const weight = g.node('Constant', [], { value: { tensor: float32(values, [SIZE, SIZE]) } });
    return g.node('MatMul', [g.node('Flatten', [x]), weight]);
  },
  'the same layer for every sample': (g, x, w) => {
    const hidden = g.node('Relu', [g.node('Add', [g.node('MatMul', [x, w(CHANNELS, 16)]), w(16)])]);
    return g.node('Add', [g.node('MatMul', [hidden, w(16, CHANNELS)]), w(CHANNELS)]);
  },
  'convolutions with a shortcut': (g, x, w) => {
    const first = g.node('Relu', [g.node('Conv', [turned(g, x), w(8, CHANNELS, 3), w(8)], { pads: [1, 1] })]);
    const second = g.node('Conv', [first, w(8, 8, 3), w(8)], { pads: [1, 1] });
    const sum = g.node('Relu', [g.node('Add', [first, second])]);
    return turned(g, g.node('Conv', [sum, w(CHANNELS, 8, 1)]));
  },
  'pooling and stretching': (g, x, w) => {
    const first = g.node('Relu', [g.node('Conv', [turned(g, x), w(8, CHANNELS, 3), w(8)], { pads: [1, 1] })]);
    const pooled = g.node('MaxPool', [first], { kernel_shape: [2], strides: [2] });
    const scales = g.initializer('scales', float32([1, 1, 2]));
    const stretched = g.node('Resize', [pooled, '', scales], { mode: 'nearest' });
    return turned(g, g.node('Conv', [stretched, w(CHANNELS, 8, 3), w(CHANNELS)], { pads: [1, 1] }));
  },
  'a transposed convolution, which stays in float': (g, x, w) => {
    const shape = { pads: [1, 1], strides: [2] };
    const first = g.node('Conv', [turned(g, x), w(8, CHANNELS, 4), w(8)], shape);
    const leaky = g.node('LeakyRelu', [first], { alpha: float(0.1) });
    return turned(g, g.node('ConvTranspose', [leaky, w(8, CHANNELS, 4), w(CHANNELS)], shape));
  },
  'a recurrent layer, which stays in float': (g, x, w) => {
    const steps = g.node('Transpose', [x], { perm: [1, 0, 2] });
    g.node('LSTM', [steps, w(1, 32, CHANNELS), w(1, 32, 8), w(1, 64)], { hidden_size: 8 }, { outputs: ['hidden'] });
    const flat = g.node('Squeeze', ['hidden', g.initializer('direction', int64([1]))]);
    const back = g.node('Transpose', [flat], { perm: [1, 0, 2] });
    return g.node('Add', [g.node('MatMul', [back, w(8, CHANNELS)]), w(CHANNELS)]);
  },
};

function turned(graph: GraphBuilder, x: string): string {
  return graph.node('Transpose', [x], { perm: [0, 2, 1] });
}

function modelOf(form: Form): ValidModel {
  const random = seededRandom(1);
  const graph = new GraphBuilder('foreign');
  const window = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
  const weights = (...dims: number[]): string => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    const reach = Math.sqrt(3 / Math.max(8, size / dims[0]!));
    const values = Array.from({ length: size }, () => (2 * random() - 1) * reach);
    return graph.initializer('w', float32(values, dims));
  };
  const made = form(graph, window, weights);
  const cube = graph.node('Reshape', [made, graph.initializer('cube', int64([-1, WINDOW, CHANNELS]))]);
  const error = graph.node('Sub', [window, cube]);
  const square = graph.node('Mul', [error, error]);
  graph.node('ReduceMean', [square], { axes: [1], keepdims: 0 }, { outputs: ['contributions'] });
  graph.node('ReduceMean', ['contributions'], { axes: [1], keepdims: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', CHANNELS]);
  return graph.build({ opset: 17, irVersion: 8 });
}

describe.each(Object.entries(FORMS))('a network that was brought along: %s', (_, form) => {
  const model = modelOf(form);
  const windows = waves(seededRandom(2), 64);
  const ways: Readonly<Record<string, readonly [worst: number, make: () => ValidModel | Promise<ValidModel>]>> = {
    fp16: [0.005, () => toFp16(model)],
    int8: [0.05, async () => (await quantizeInt8(model, windows)).model],
    'int8-dynamic': [0.1, () => quantizeInt8Dynamic(model)],
    int4: [0.25, () => quantizeInt4(model)],
    sparse: [0.3, () => sparsify(model, 0.1)],
  };

  it.each(Object.entries(ways))('as %s runs as meant and scores alike, or is refused', async (__, [worst, make]) => {
    let made: ValidModel;
    try {
      made = await make();
    } catch (error) {
      expect(error).toBeInstanceOf(UnsupportedGraphError);
      return;
    }
    const { leftoverDequantize, casts } = await inspectOptimised(made);
    expect([...leftoverDequantize, ...casts]).toEqual([]);
    const exact = await scoreWindows(encodeModel(model), windows);
    const rounded = await scoreWindows(encodeModel(made), windows);
    const errors = exact.score.map((value, n) => Math.abs(rounded.score[n]! / value - 1));
    expect(Math.max(...errors)).toBeLessThan(worst);
  });

  it('has a cost: no less memory than its weights', () => {
    const cost = costOf(model, { window: WINDOW, channels: CHANNELS });
    expect(cost.multiplyAccumulates).toBeGreaterThanOrEqual(100);
    expect(cost.peakMemoryBytes).toBeGreaterThanOrEqual(4 * cost.parameters);
  });
});
