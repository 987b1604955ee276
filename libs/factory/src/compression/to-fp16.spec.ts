import { DataType, encodeModel, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { scoreWindows } from '../detector-session.ts';
import { UnsupportedGraphError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import { inspectOptimised } from './inspect-optimised.ts';
import { CHANNELS, convNetwork, denseNetwork, waves, WINDOW } from './networks.fixture.ts';
import { toFp16 } from './to-fp16.ts';

describe('float16', () => {
  it('halves the size of a network', () => {
    const model = denseNetwork(seededRandom(1), [64, 256, 16, 256, 64]);
    expect(encodeModel(toFp16(model)).length / encodeModel(model).length).toBeLessThan(0.55);
  });

  it.each([denseNetwork, convNetwork])('runs as fp32 does: no casts are left, the same operators: %o', async (make) => {
    const model = make(seededRandom(2));
    const narrowed = await inspectOptimised(toFp16(model));
    expect(narrowed.operators).toEqual((await inspectOptimised(model)).operators);
    expect(narrowed.casts).toEqual([]);
  });

  it.each([denseNetwork, convNetwork])('scores as fp32 does: %o', async (make) => {
    const random = seededRandom(3);
    const model = make(random);
    const windows = waves(random, 64);
    const exact = await scoreWindows(encodeModel(model), windows);
    const rounded = await scoreWindows(encodeModel(toFp16(model)), windows);
    for (const [n, value] of exact.score.entries()) expect(rounded.score[n]! / value).toBeCloseTo(1, 2.5);
  });

  it('never overflows in raw units: the normalisation stays in float32, and so do weights beyond its range', async () => {
    const model = normalised(1e8, 1e9);
    const random = seededRandom(4);
    const windows = waves(random, 32, 1e8);
    const exact = await scoreWindows(encodeModel(model), windows);
    const narrowed = toFp16(model);
    expect(narrowed.graph.initializer.find(({ name }) => name === 'large')?.dataType).toBe(DataType.FLOAT);
    expect(narrowed.graph.initializer.find(({ name }) => name === 'center')?.dataType).toBe(DataType.FLOAT);
    const rounded = await scoreWindows(encodeModel(narrowed), windows);
    for (const [n, value] of exact.score.entries()) expect(rounded.score[n]! / value).toBeCloseTo(1, 2.5);
  });

  it('refuses a graph without weights', () => {
    const graph = new GraphBuilder('none');
    graph.node('Relu', [graph.input('window', DataType.FLOAT, ['N', 4])], {}, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, ['N', 4]);
    expect(() => toFp16(graph.build())).toThrow(UnsupportedGraphError);
  });
});

/** (x − center) / deviation, through ordinary weights and through very large ones. */
function normalised(deviation: number, largest: number): ValidModel {
  const random = seededRandom(5);
  const size = WINDOW * CHANNELS;
  const graph = new GraphBuilder('normalised');
  const x = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
  const full = (value: number) => float32(new Float32Array(size).fill(value), [WINDOW, CHANNELS]);
  const centred = graph.node('Sub', [x, graph.initializer('center', full(3 * deviation))]);
  const z = graph.node('Div', [centred, graph.initializer('deviation', full(deviation))]);
  const flat = graph.node('Reshape', [z, graph.initializer('flat', int64([-1, size]))]);
  const matrix = (reach: number) =>
    float32(
      Array.from({ length: size * size }, () => (random() - 0.5) * reach),
      [size, size],
    );
  const y = graph.node('MatMul', [flat, graph.initializer('ordinary', matrix(0.2))]);
  const large = graph.node('MatMul', [y, graph.initializer('large', matrix(largest))]);
  const cube = graph.node('Reshape', [large, graph.initializer('cube', int64([-1, WINDOW, CHANNELS]))]);
  const axis = graph.initializer('axis', int64([1]));
  graph.node('ReduceMax', [graph.node('Abs', [cube]), axis], { keepdims: 0 }, { outputs: ['contributions'] });
  graph.node('ReduceMax', ['contributions', axis], { keepdims: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', CHANNELS]);
  return graph.build();
}
