import { DataType, encodeModel, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scoreWindows } from '../detector-session.ts';
import { UnsupportedGraphError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import { inspectOptimised } from './inspect-optimised.ts';
import type { WindowSet } from '../window-set.ts';
import { chooseRange, rangeBetween } from './activation-range.ts';
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

  it('sees a DequantizeLinear that nothing fused', async () => {
    const graph = new GraphBuilder('unfused');
    const x = graph.input('x', DataType.INT8, ['N', 4]);
    const scale = graph.initializer('scale', float32([0.1]));
    const y = graph.node('DequantizeLinear', [x, graph.node('Reshape', [scale, graph.initializer('s', int64([]))])]);
    graph.node('Tanh', [y], {}, { outputs: ['y'] });
    graph.output('y', DataType.FLOAT, ['N', 4]);
    expect((await inspectOptimised(graph.build())).leftoverDequantize).toHaveLength(1);
  });

  it('refuses a graph without constant weights', async () => {
    const graph = new GraphBuilder('empty');
    graph.node('Relu', [graph.input('window', DataType.FLOAT, ['N', 4, 3])], {}, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, ['N', 4, 3]);
    await expect(quantizeInt8(graph.build(), windows(seededRandom(1), 1))).rejects.toThrow(UnsupportedGraphError);
  });
});

describe('ranges', () => {
  it('represent zero exactly and cover what they should', () => {
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, min: -1e6, max: 1e6 }),
        fc.float({ noNaN: true, min: -1e6, max: 1e6 }),
        (a, b) => {
          const [low, high] = [Math.min(a, b, 0), Math.max(a, b, 0)];
          fc.pre(high - low > 1e-20);
          const { scale, zeroPoint } = rangeBetween(Math.min(a, b), Math.max(a, b));
          expect(Number.isInteger(zeroPoint) && zeroPoint >= 0 && zeroPoint <= 255).toBe(true);
          // Rounding the zero point may shift the range by half a step.
          expect(-zeroPoint * scale).toBeLessThanOrEqual(low + 0.51 * scale);
          expect((255 - zeroPoint) * scale).toBeGreaterThanOrEqual(high - 0.51 * scale);
        },
      ),
    );
  });

  it('give up a lone outlier for finer steps, but not a common one', () => {
    const random = seededRandom(7);
    const bulk = Float32Array.from({ length: 400_000 }, () => 2 * random() - 1);
    expect(chooseRange(bulk.with(0, 1.6)).scale).toBeLessThan(2.1 / 255);
    const common = bulk.map((value, i) => (i % 100 === 0 ? 30 : value));
    expect(chooseRange(common).scale).toBeCloseTo(31 / 255, 2);
  });

  it('handle an activation that is always zero', () => {
    expect(chooseRange(new Float32Array(10))).toEqual({ scale: 1, zeroPoint: 0 });
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
