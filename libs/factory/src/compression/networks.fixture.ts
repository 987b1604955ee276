import { DataType, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import type { WindowSet } from '../window-set.ts';

/** What tests compress: networks of random weights, in the form that the families give theirs. */
export const WINDOW = 16;
export const CHANNELS = 4;
const SIZE = WINDOW * CHANNELS;

type Random = () => number;

/** Windows of a few slow waves with noise, so that layers see values of different sizes. */
export function waves(random: Random, count: number, amplitude = 1): WindowSet {
  const data = new Float32Array(count * SIZE);
  for (let n = 0; n < count; n += 1) {
    const phase = random() * 7;
    for (let i = 0; i < SIZE; i += 1) {
      const [t, c] = [Math.floor(i / CHANNELS), i % CHANNELS];
      data[n * SIZE + i] = amplitude * (Math.sin(phase + (t * (c + 1)) / 5) + 0.3 * (random() - 0.5));
    }
  }
  return { data, count, window: WINDOW, channels: CHANNELS, overlap: 0 };
}

/** A dense autoencoder of Gemm and Relu, its error by channel as contributions. */
export function denseNetwork(random: Random, layers: readonly number[] = [SIZE, 48, 8, 48, SIZE]): ValidModel {
  return network('dense', (graph, window) => {
    let x = graph.node('Reshape', [window, graph.initializer('flat', int64([-1, SIZE]))]);
    for (let i = 1; i < layers.length; i += 1) {
      const [from, to] = [layers[i - 1]!, layers[i]!];
      const w = graph.initializer(`w${i}`, weights(random, [from, to], from));
      const b = graph.initializer(`b${i}`, weights(random, [to], 30));
      x = graph.node('Gemm', [x, w, b], {}, { outputs: [`dense${i}`] });
      if (i < layers.length - 1) x = graph.node('Relu', [x]);
    }
    return graph.node('Reshape', [x, graph.initializer('cube', int64([-1, WINDOW, CHANNELS]))]);
  });
}

/** The same as MatMul and Add, as some exporters write it. */
export function matMulNetwork(random: Random): ValidModel {
  return network('matmul', (graph, window) => {
    let x = graph.node('Reshape', [window, graph.initializer('flat', int64([-1, SIZE]))]);
    for (const [i, [from, to]] of [[SIZE, 32] as const, [32, SIZE] as const].entries()) {
      const product = graph.node('MatMul', [x, graph.initializer(`w${i}`, weights(random, [from, to], from))]);
      x = graph.node('Add', [graph.initializer(`b${i}`, weights(random, [to], 30)), product]);
      if (i === 0) x = graph.node('Relu', [x]);
    }
    return graph.node('Reshape', [x, graph.initializer('cube', int64([-1, WINDOW, CHANNELS]))]);
  });
}

/** Convolutions over time, down to half the length, then dense back to the window. */
export function convNetwork(random: Random): ValidModel {
  return network('conv', (graph, window) => {
    let x = graph.node('Transpose', [window], { perm: [0, 2, 1] });
    for (const [i, [from, to, stride]] of [[CHANNELS, 16, 1] as const, [16, 24, 2] as const].entries()) {
      const w = graph.initializer(`k${i}`, weights(random, [to, from, 5], from * 5));
      const b = graph.initializer(`b${i}`, weights(random, [to], 30));
      x = graph.node('Relu', [graph.node('Conv', [x, w, b], { pads: [2, 2], strides: [stride] })]);
    }
    const flat = 24 * (WINDOW / 2);
    x = graph.node('Reshape', [x, graph.initializer('flat', int64([-1, flat]))]);
    const w = graph.initializer('w', weights(random, [flat, SIZE], flat));
    x = graph.node('Gemm', [x, w, graph.initializer('b', weights(random, [SIZE], 30))]);
    return graph.node('Reshape', [x, graph.initializer('cube', int64([-1, WINDOW, CHANNELS]))]);
  });
}

function network(name: string, reconstruct: (graph: GraphBuilder, window: string) => string): ValidModel {
  const graph = new GraphBuilder(name);
  const window = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
  const error = graph.node('Sub', [window, reconstruct(graph, window)]);
  const axis = graph.initializer('axis', int64([1]));
  const squares = graph.node('Mul', [error, error]);
  graph.node('ReduceMean', [squares, axis], { keepdims: 0 }, { outputs: ['contributions'] });
  graph.node('ReduceMean', ['contributions', axis], { keepdims: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', CHANNELS]);
  return graph.build();
}

function weights(random: Random, dims: readonly number[], inputs: number) {
  const size = dims.reduce((product, dim) => product * dim, 1);
  const reach = Math.sqrt(3 / inputs);
  return float32(
    Array.from({ length: size }, () => (2 * random() - 1) * reach),
    dims,
  );
}
