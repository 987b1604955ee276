import * as fc from 'fast-check';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { DataType } from '../data-types.ts';
import { GraphBuilder } from '../graph-builder.ts';
import { valueInfo } from '../message-makers.ts';
import { encodeModel } from '../model.codec.ts';
import { float32, int64, uint8 } from '../tensor.ts';
import { inferShapes } from './infer-shapes.ts';

const W = 12;
const C = 3;

/** Shape of the value `y` as inferred, and as ONNX Runtime really gives it. */
async function shapes(make: (graph: GraphBuilder, x: string) => string): Promise<unknown[]> {
  const graph = new GraphBuilder('trial');
  const x = graph.input('x', DataType.FLOAT, ['N', W, C]);
  graph.node('Identity', [make(graph, x)], {}, { outputs: ['y'] });
  graph.output('y', DataType.FLOAT, []);
  const model = graph.build({ domains: { 'com.microsoft': 1 } });
  // What it declares would be taken for known.
  const inferred = inferShapes({ ...model.graph, output: [] }, { dimensions: { N: 2 } }).get('y');
  const output = [{ ...valueInfo('y', inferred?.elementType === 7 ? 7 : 1, []) }];
  delete output[0]!.type!.tensorType!.shape;
  const session = await InferenceSession.create(encodeModel({ ...model, graph: { ...model.graph, output } }));
  const { y } = await session.run({ x: new Tensor('float32', new Float32Array(2 * W * C), [2, W, C]) });
  await session.release();
  return [inferred?.dims, y?.dims];
}

type Make = (graph: GraphBuilder, x: string) => string;
const weights = (g: GraphBuilder, ...dims: number[]): string =>
  g.initializer('w', float32(new Float32Array(dims.reduce((a, b) => a * b, 1)), dims));
const ints = (g: GraphBuilder, ...values: number[]): string => g.initializer('i', int64(values));
const channelsFirst = (g: GraphBuilder, x: string): string => g.node('Transpose', [x], { perm: [0, 2, 1] });

const CASES: Readonly<Record<string, Make>> = {
  'Reshape with a free axis': (g, x) => g.node('Reshape', [x, ints(g, -1, W * C)]),
  'Reshape that keeps an axis': (g, x) => g.node('Reshape', [x, ints(g, 0, -1)]),
  Flatten: (g, x) => g.node('Flatten', [x]),
  'MatMul by a matrix': (g, x) => g.node('MatMul', [x, weights(g, C, 5)]),
  'MatMul by a vector': (g, x) => g.node('MatMul', [x, weights(g, C)]),
  Gemm: (g, x) => g.node('Gemm', [g.node('Flatten', [x]), weights(g, 7, W * C), weights(g, 7)], { transB: 1 }),
  'Conv with stride and padding': (g, x) =>
    g.node('Conv', [channelsFirst(g, x), weights(g, 4, C, 5)], { pads: [2, 2], strides: [2] }),
  'Conv with dilation': (g, x) => g.node('Conv', [channelsFirst(g, x), weights(g, 4, C, 3)], { dilations: [2] }),
  'Conv padded to the same': (g, x) =>
    g.node('Conv', [channelsFirst(g, x), weights(g, 4, C, 3)], { auto_pad: 'SAME_UPPER', strides: [5] }),
  ConvTranspose: (g, x) =>
    g.node('ConvTranspose', [channelsFirst(g, x), weights(g, C, 4, 3)], {
      strides: [2],
      pads: [1, 1],
      output_padding: [1],
    }),
  MaxPool: (g, x) => g.node('MaxPool', [channelsFirst(g, x)], { kernel_shape: [3], strides: [2], ceil_mode: 1 }),
  AveragePool: (g, x) => g.node('AveragePool', [channelsFirst(g, x)], { kernel_shape: [4], strides: [4] }),
  GlobalAveragePool: (g, x) => g.node('GlobalAveragePool', [x]),
  'ReduceMean of an axis': (g, x) => g.node('ReduceMean', [x, ints(g, -1)], { keepdims: 0 }),
  'ReduceMax of all': (g, x) => g.node('ReduceMax', [x]),
  'Slice from the end': (g, x) => g.node('Slice', [x, ints(g, -4), ints(g, 2 ** 40), ints(g, 1)]),
  'Slice backwards': (g, x) => g.node('Slice', [x, ints(g, 8), ints(g, 1), ints(g, 1), ints(g, -2)]),
  'Split by sizes': (g, x) => g.node('Split', [x, ints(g, 5, 7)], { axis: 1 }, { outputs: ['a', 'b'] }),
  Concat: (g, x) => g.node('Concat', [x, x, x], { axis: -1 }),
  'Squeeze and Unsqueeze': (g, x) => g.node('Squeeze', [g.node('Unsqueeze', [x, ints(g, 0, 4)]), ints(g, 0)]),
  Gather: (g, x) => g.node('Gather', [x, g.initializer('two', int64([0, 2, 2, 1], [2, 2]))], { axis: 1 }),
  Expand: (g, x) => g.node('Expand', [x, ints(g, 4, 1, W, C)]),
  Tile: (g, x) => g.node('Tile', [x, ints(g, 1, 2, 3)]),
  Pad: (g, x) => g.node('Pad', [x, ints(g, 0, 1, 2, 0, 3, 4)]),
  Broadcast: (g, x) => g.node('Add', [x, weights(g, 5, 1, 1, C)]),
  TopK: (g, x) => g.node('TopK', [x, ints(g, 4)], { axis: 1 }, { outputs: ['best', 'where'] }),
  LSTM: (g, x) =>
    g.node('LSTM', [x, weights(g, 1, 16, C), weights(g, 1, 16, 4)], { hidden_size: 4 }, { outputs: ['h'] }),
  'Resize to sizes': (g, x) => g.node('Resize', [x, '', '', ints(g, 2, 24, C)], { mode: 'nearest' }),
  'a shape that is computed': (g, x) => {
    const shape = g.node('Shape', [x]);
    const batch = g.node('Unsqueeze', [g.node('Gather', [shape, g.initializer('zero', int64(0))]), ints(g, 0)]);
    const width = g.node('Mul', [
      g.node('Slice', [shape, ints(g, 1), ints(g, 2)]),
      g.node('Slice', [shape, ints(g, 2), ints(g, 3)]),
    ]);
    return g.node('Reshape', [x, g.node('Concat', [batch, width], { axis: 0 })]);
  },
  'quantised and back': (g, x) => {
    const [scale, zero] = [g.initializer('s', float32(0.1)), g.initializer('z', uint8(3))];
    return g.node('DequantizeLinear', [g.node('QuantizeLinear', [x, scale, zero]), scale, zero]);
  },
};

describe('inferred shapes', () => {
  it.each(Object.entries(CASES))('%s: as ONNX Runtime computes it', async (_, make) => {
    const [inferred, real] = await shapes(make);
    expect(inferred).toEqual(real);
  });

  it('follow any chain of slices, paddings and transpositions', async () => {
    const step = fc.constantFrom('slice', 'pad', 'transpose', 'unsqueeze-reshape', 'tile');
    const amounts = fc.array(fc.tuple(step, fc.integer({ min: -3, max: 3 })), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(amounts, async (steps) => {
        const [inferred, real] = await shapes((g, x) => {
          let y = x;
          for (const [kind, amount] of steps) {
            if (kind === 'slice') y = g.node('Slice', [y, ints(g, amount), ints(g, 100), ints(g, 1)]);
            if (kind === 'pad') y = g.node('Pad', [y, ints(g, 0, Math.abs(amount), 0, 0, 1, 0)]);
            if (kind === 'transpose') y = g.node('Transpose', [y], { perm: amount > 0 ? [2, 0, 1] : [1, 0, 2] });
            if (kind === 'tile') y = g.node('Tile', [y, ints(g, 1, Math.abs(amount) + 1, 1)]);
            if (kind === 'unsqueeze-reshape') y = g.node('Reshape', [y, ints(g, 0, -1, 1)]);
          }
          return y;
        });
        expect(inferred).toEqual(real);
      }),
      { numRuns: 40 },
    );
  });

  it('are missing where nothing is known, and go on after what the graph declares', () => {
    const graph = new GraphBuilder('unknown');
    const x = graph.input('x', DataType.FLOAT, ['N', W, C]);
    const strange = graph.node('Strange', [x], {}, { outputs: ['strange'], domain: 'own' });
    graph.node('Relu', [strange], {}, { outputs: ['y'] });
    graph.output('y', DataType.FLOAT, []);
    const { graph: built } = graph.build({ domains: { own: 1 } });
    expect(inferShapes({ ...built, output: [] }).has('y')).toBe(false);
    const told = { ...built, output: [], valueInfo: [valueInfo('strange', DataType.FLOAT, [4, 'M'])] };
    expect(inferShapes(told, { dimensions: { M: 6 } }).get('y')?.dims).toEqual([4, 6]);
  });

  it('do not grow without bound in a graph that doubles its shapes', () => {
    const graph = new GraphBuilder('doubling');
    let indices = graph.initializer('i', int64([0, 0, 0, 0], [2, 2]));
    let shape = graph.initializer('s', int64([1, 1]));
    for (let i = 0; i < 200; i += 1) {
      indices = graph.node('Gather', [indices, indices]);
      shape = graph.node('Concat', [shape, shape], { axis: 0 });
    }
    graph.node('Reshape', [indices, shape], {}, { outputs: ['y'] });
    graph.output('y', DataType.INT64, []);
    const values = inferShapes({ ...graph.build().graph, output: [] });
    expect(values.has('y')).toBe(false);
    expect(Math.max(...[...values.values()].map(({ dims }) => dims.length))).toBeLessThanOrEqual(64);
  });
});
