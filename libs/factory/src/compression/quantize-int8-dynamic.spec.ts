import { encodeModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { scoreWindows } from '../detector-session.ts';
import { UnsupportedGraphError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import { selectWindows } from '../window-set.ts';
import { inspectOptimised } from './inspect-optimised.ts';
import { convNetwork, denseNetwork, matMulNetwork, waves } from './networks.fixture.ts';
import { quantizeInt8Dynamic } from './quantize-int8-dynamic.ts';
import { sparsify } from './sparsify.ts';

describe('int8 with ranges found while it runs', () => {
  it.each([
    ['Gemm', denseNetwork, 4],
    ['MatMul and Add', matMulNetwork, 2],
    ['Conv, of which only the dense part is quantised', convNetwork, 1],
  ])('becomes one operator per product: %s', async (_, make, products) => {
    const { operators, casts, leftoverDequantize } = await inspectOptimised(quantizeInt8Dynamic(make(seededRandom(1))));
    expect(operators['com.microsoft.DynamicQuantizeMatMul']).toBe(products);
    expect(casts).toEqual([]);
    expect(leftoverDequantize).toEqual([]);
  });

  it('scores as fp32 does, at any amplitude', async () => {
    const random = seededRandom(2);
    const model = denseNetwork(random);
    for (const amplitude of [0.01, 1, 1000]) {
      const windows = waves(random, 16, amplitude);
      const exact = await scoreWindows(encodeModel(model), windows);
      const rounded = await scoreWindows(encodeModel(quantizeInt8Dynamic(model)), windows);
      for (const [n, value] of exact.score.entries()) expect(rounded.score[n]! / value).toBeCloseTo(1, 1.2);
    }
  });

  it('scores a window the same whatever comes before it', async () => {
    const random = seededRandom(3);
    const bytes = encodeModel(quantizeInt8Dynamic(denseNetwork(random)));
    const windows = waves(random, 20);
    windows.data.subarray(0, 64).fill(500);
    const all = await scoreWindows(bytes, windows);
    const last = await scoreWindows(bytes, selectWindows(windows, [19]));
    expect(last.score[0]).toBe(all.score[19]);
  });

  it('is about a quarter of the size', () => {
    const model = denseNetwork(seededRandom(4), [64, 256, 16, 256, 64]);
    expect(encodeModel(quantizeInt8Dynamic(model)).length / encodeModel(model).length).toBeLessThan(0.35);
  });

  it('works on what was made sparse, and refuses a graph without matrices', () => {
    const model = denseNetwork(seededRandom(5));
    expect(() => encodeModel(quantizeInt8Dynamic(sparsify(model, 0.5)))).not.toThrow();
    const node = model.graph.node.slice(0, 1);
    const nothing = { ...model.graph, node, output: [{ name: node[0]!.output[0]! }] };
    expect(() => quantizeInt8Dynamic({ ...model, graph: nothing })).toThrow(UnsupportedGraphError);
  });
});
