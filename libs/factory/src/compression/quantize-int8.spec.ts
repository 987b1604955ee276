import { DataType, encodeModel, float32, GraphBuilder, initializerOf, int64, tensorValues } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scoreWindows } from '../detector-session.ts';
import { UnsupportedGraphError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import { inspectOptimised } from './inspect-optimised.ts';
import { convNetwork, denseNetwork, matMulNetwork, waves } from './networks.fixture.ts';
import type { WindowSet } from '../window-set.ts';
import { quantizeInt8 } from './quantize-int8.ts';
import { quantizeWeight } from './weight-quantization.ts';

const WINDOW = 4;
const CHANNELS = 3;
const SIZE = WINDOW * CHANNELS;

/** x → |Relu(x·A)·B|², a detector in form only. */
function twoLayers(random: () => number): ValidModel {
  const graph = new GraphBuilder('two-layers');
  const x = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
  const weights = (rows: number, columns: number) =>
    float32(
      Array.from({ length: rows * columns }, () => random() - 0.5),
      [rows, columns],
    );
  const flat = graph.node('Reshape', [x, graph.initializer('flat', int64([-1, SIZE]))]);
  const hidden = graph.node('Relu', [graph.node('MatMul', [flat, graph.initializer('a', weights(SIZE, 16))])]);
  const y = graph.node('MatMul', [hidden, graph.initializer('b', weights(16, SIZE))]);
  const cube = graph.node('Reshape', [y, graph.initializer('cube', int64([-1, WINDOW, CHANNELS]))]);
  const axis = graph.initializer('axis', int64([1]));
  const parts = graph.node('ReduceSumSquare', [cube, axis], { keepdims: 0 }, { outputs: ['contributions'] });
  graph.node('ReduceSum', [parts, axis], { keepdims: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', CHANNELS]);
  return graph.build();
}

function windows(random: () => number, count: number): WindowSet {
  const data = Float32Array.from({ length: count * SIZE }, () => 6 * (random() - 0.5));
  return { data, count, window: WINDOW, channels: CHANNELS, overlap: 0 };
}

describe('int8 by QDQ', () => {
  it('is fused completely by ONNX Runtime: integer products, no DequantizeLinear left', async () => {
    const random = seededRandom(1);
    const { model, report } = await quantizeInt8(twoLayers(random), windows(random, 200));
    expect(report.quantized).toHaveLength(2);
    const { operators, leftoverDequantize } = await inspectOptimised(model);
    expect(leftoverDequantize).toEqual([]);
    expect(operators).not.toHaveProperty('MatMul');
    const { QLinearMatMul = 0, 'com.microsoft.MatMulIntegerToFloat': toFloat = 0 } = operators;
    expect(QLinearMatMul + toFloat).toBe(2);
  });

  it('stays close to fp32 and is about a quarter of its weights', async () => {
    const random = seededRandom(2);
    const model = twoLayers(random);
    const quantized = await quantizeInt8(model, windows(random, 200));
    const fresh = windows(random, 100);
    const exact = await scoreWindows(encodeModel(model), fresh);
    const rounded = await scoreWindows(encodeModel(quantized.model), fresh);
    const error = exact.score.map((value, n) => Math.abs(rounded.score[n]! - value) / (value + 1));
    expect(error.toSorted()[95]).toBeLessThan(0.05);
    const weights = quantized.model.graph.initializer.filter((tensor) => tensor.dataType === DataType.INT8);
    expect(quantized.model.graph.initializer.some((tensor) => tensor.name === 'a')).toBe(false);
    expect(weights.reduce((sum, tensor) => sum + (tensor.rawData?.length ?? 0), 0)).toBe(2 * 16 * SIZE + 16 + SIZE);
  });

  it('does not change the model it was given', async () => {
    const random = seededRandom(3);
    const model = twoLayers(random);
    const before = encodeModel(model);
    await quantizeInt8(model, windows(random, 50));
    expect(encodeModel(model)).toEqual(before);
  });

  it.each([
    ['Gemm', denseNetwork, { 'com.microsoft.QGemm': 4, QuantizeLinear: 1 }],
    ['MatMul and Add', matMulNetwork, { 'com.microsoft.QGemm': 2, QuantizeLinear: 1 }],
    // ONNX Runtime's own form of QLinearConv, with channels last.
    ['Conv', convNetwork, { 'com.microsoft.QGemm': 1, 'com.microsoft.QLinearConv': 2, QuantizeLinear: 1 }],
  ])('fuses networks of %s: activations stay in uint8 from layer to layer', async (_, make, operators) => {
    const random = seededRandom(4);
    const { model } = await quantizeInt8(make(random), waves(random, 64));
    const report = await inspectOptimised(model);
    expect(report.leftoverDequantize).toEqual([]);
    expect(report.casts).toEqual([]);
    expect(report.operators).toMatchObject(operators);
    for (const float of ['Gemm', 'MatMul', 'Conv', 'com.microsoft.FusedGemm', 'com.microsoft.FusedConv', 'Relu']) {
      expect(report.operators).not.toHaveProperty([float]);
    }
  });

  it.each([denseNetwork, matMulNetwork, convNetwork])('scores as fp32 does: %o', async (make) => {
    const random = seededRandom(5);
    const model = make(random);
    const { model: quantized } = await quantizeInt8(model, waves(random, 128));
    const fresh = waves(random, 64);
    const exact = await scoreWindows(encodeModel(model), fresh);
    const rounded = await scoreWindows(encodeModel(quantized), fresh);
    const errors = exact.score.map((value, n) => Math.abs(rounded.score[n]! / value - 1));
    expect(Math.max(...errors)).toBeLessThan(0.03);
  });

  it('keeps biases exact where the weights of an output are all zero', async () => {
    const random = seededRandom(6);
    const model = denseNetwork(random);
    const first = model.graph.initializer.find(({ name }) => name === 'w1')!;
    model.graph.initializer[model.graph.initializer.indexOf(first)] = {
      ...float32(new Float32Array(first.dims[0]! * first.dims[1]!), first.dims),
      name: 'w1',
    };
    const set = waves(random, 64);
    const exact = await scoreWindows(encodeModel(model), set);
    const rounded = await scoreWindows(encodeModel((await quantizeInt8(model, set)).model), set);
    for (const [n, value] of exact.score.entries()) expect(rounded.score[n]! / value).toBeCloseTo(1, 2);
  });

  it('tells how ranges were chosen and what lies outside', async () => {
    const random = seededRandom(7);
    const { report } = await quantizeInt8(denseNetwork(random), waves(random, 64));
    expect(Object.keys(report.choices)).toHaveLength(4);
    for (const { method, error, saturated } of Object.values(report.choices)) {
      expect(['percentile', 'mse']).toContain(method);
      expect(error).toBeLessThan(1e-3);
      expect(saturated).toBeLessThan(0.05);
    }
  });

  it('uses seven bits of a weight, unless told that eight are safe', async () => {
    const random = seededRandom(9);
    const model = denseNetwork(random);
    const set = waves(random, 32);
    for (const [options, largest] of [[{}, 63] as const, [{ largestWeight: 127 }, 127] as const]) {
      const { graph } = (await quantizeInt8(model, set, options)).model;
      const stored = graph.initializer.filter(({ name = '' }) => name.endsWith('/int8'));
      const peaks = stored.map((tensor) =>
        tensorValues(tensor).reduce((peak, value) => Math.max(peak, Math.abs(value)), 0),
      );
      expect(peaks).toEqual(Array(4).fill(largest));
    }
  });

  it('leaves a convolution that is an output of the graph in float', async () => {
    const graph = new GraphBuilder('bare');
    const x = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
    const random = seededRandom(10);
    const kernel = (size: number) =>
      float32(
        Array.from({ length: size }, () => random() - 0.5),
        [size / WINDOW, WINDOW, 1],
      );
    const first = graph.node('Conv', [x, graph.initializer('a', kernel(WINDOW * WINDOW))]);
    graph.node('Conv', [first, graph.initializer('b', kernel(WINDOW))], {}, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, ['N', 1, CHANNELS]);
    const { model, report } = await quantizeInt8(graph.build(), windows(random, 8));
    expect(report.quantized).toEqual(['Conv/conv']);
    expect(initializerOf(model.graph, 'b')?.dataType).toBe(DataType.FLOAT);
  });

  it('calibrates graphs with state in the order of the windows', async () => {
    const graph = new GraphBuilder('smoothed');
    const x = graph.input('window', DataType.FLOAT, [1, WINDOW, CHANNELS]);
    const state = graph.input('state.sum', DataType.FLOAT, [1, SIZE]);
    const flat = graph.node('Reshape', [x, graph.initializer('flat', int64([1, SIZE]))]);
    const sum = graph.node('Add', [state, flat], {}, { outputs: ['state.sum.next'] });
    const weight = float32(
      Array.from({ length: SIZE * 4 }, () => 1),
      [SIZE, 4],
    );
    graph.node('MatMul', [sum, graph.initializer('w', weight)], {}, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, [1, 4]);
    graph.output('state.sum.next', DataType.FLOAT, [1, SIZE]);
    const ones = new Float32Array(10 * SIZE).fill(1);
    const set = { data: ones, count: 10, window: WINDOW, channels: CHANNELS, overlap: 0 };
    const { report } = await quantizeInt8(graph.build(), set);
    expect(report.ranges['state.sum.next']![1]).toBeCloseTo(10, 1);
  });

  it('calibrates graphs that take a mask, times and a calibration of their own', async () => {
    const graph = new GraphBuilder('all-inputs');
    const x = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
    const mask = graph.input('mask', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
    const time = graph.input('time', DataType.FLOAT, ['N', WINDOW]);
    const center = graph.input('center', DataType.FLOAT, [CHANNELS]);
    const scale = graph.input('scale', DataType.FLOAT, [CHANNELS]);
    const z = graph.node('Mul', [graph.node('Div', [graph.node('Sub', [x, center]), scale]), mask]);
    const weight = graph.initializer('w', float32(new Float32Array(CHANNELS ** 2).fill(1), [CHANNELS, CHANNELS]));
    const y = graph.node('MatMul', [z, weight]);
    const late = graph.node('Unsqueeze', [time, graph.initializer('last', int64([2]))]);
    graph.node('Add', [y, late], {}, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
    const set = windows(seededRandom(8), 20);
    const { report } = await quantizeInt8(graph.build(), set);
    const [[low, high]] = Object.values(report.ranges) as [readonly [number, number]];
    expect(high - low).toBeGreaterThan(5);
    expect(high - low).toBeLessThan(6.5);
  });

  it('refuses inputs that it cannot give values to, and old operator sets', async () => {
    const graph = new GraphBuilder('other-input');
    const x = graph.input('window', DataType.FLOAT, ['N', 3]);
    const other = graph.input('temperature', DataType.FLOAT, ['N', 3]);
    const weight = graph.initializer('w', float32(new Float32Array(9), [3, 3]));
    graph.node('MatMul', [graph.node('Add', [x, other]), weight], {}, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, ['N', 3]);
    const set = windows(seededRandom(1), 1);
    await expect(quantizeInt8(graph.build(), set)).rejects.toThrow(/"temperature"/);
    const old = { ...denseNetwork(seededRandom(1)), opsetImport: [{ version: 12 }] };
    await expect(quantizeInt8(old, set)).rejects.toThrow(/operator set 12; 13 is needed/);
  });

  it('refuses a graph without constant weights', async () => {
    const graph = new GraphBuilder('empty');
    graph.node('Relu', [graph.input('window', DataType.FLOAT, ['N', 4, 3])], {}, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, ['N', 4, 3]);
    await expect(quantizeInt8(graph.build(), windows(seededRandom(1), 1))).rejects.toThrow(UnsupportedGraphError);
  });
});

describe('weights', () => {
  it('are off by at most half a step of their own channel, and within 7 bits', () => {
    fc.assert(
      fc.property(fc.array(fc.float({ noNaN: true, min: -1e3, max: 1e3 }), { minLength: 6, maxLength: 60 }), (list) => {
        const { values, scales } = quantizeWeight(list, 3, (i) => i % 3);
        for (const [i, q] of values.entries()) {
          expect(Math.abs(q)).toBeLessThanOrEqual(63);
          expect(Math.abs(q * scales[i % 3]! - list[i]!)).toBeLessThanOrEqual(scales[i % 3]! * 0.5001 + 1e-30);
        }
      }),
    );
  });
});
