import { DataType, encodeModel, float32, GraphBuilder } from '@drover/onnx';
import * as fc from 'fast-check';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { scoreWindows, withSession } from '../detector-session.ts';
import { InvalidTrainingOptionsError, UnsupportedGraphError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import { quantizeBlocks } from './int4-blocks.ts';
import type { Int4Matrix } from './int4-blocks.ts';
import { inspectOptimised } from './inspect-optimised.ts';
import { convNetwork, denseNetwork, matMulNetwork, waves } from './networks.fixture.ts';
import { quantizeInt4 } from './quantize-int4.ts';

function nibble(bytes: Uint8Array, index: number): number {
  return (bytes[index >> 1]! >> (index % 2 === 0 ? 0 : 4)) & 15;
}

/** What the packed matrix means, by the definition of the operator. */
function unpacked({ packed, scales, zeroPoints, blocks }: Int4Matrix, inputs: number, blockSize: number) {
  const zeroRow = 2 * Math.ceil(blocks / 2);
  return (input: number, output: number): number => {
    const block = Math.floor(input / blockSize);
    expect(input).toBeLessThan(inputs);
    const q = nibble(packed, (output * blocks + block) * blockSize + (input % blockSize));
    return (q - nibble(zeroPoints, output * zeroRow + block)) * scales[output * blocks + block]!;
  };
}

describe('blocks of 4-bit weights', () => {
  it('are off by at most half a step inside their range, and no further than the range is cut', () => {
    const sizes = fc.record({ inputs: fc.integer({ min: 1, max: 70 }), outputs: fc.integer({ min: 1, max: 5 }) });
    fc.assert(
      fc.property(sizes, fc.integer(), ({ inputs, outputs }, seed) => {
        const random = seededRandom(seed);
        const weights = Array.from({ length: inputs * outputs }, () => random() ** 3 - 0.3);
        const at = (input: number, output: number): number => weights[input * outputs + output]!;
        const matrix = quantizeBlocks(at, inputs, outputs, 16);
        const back = unpacked(matrix, inputs, 16);
        for (let i = 0; i < inputs; i += 1) {
          for (let o = 0; o < outputs; o += 1) {
            const scale = matrix.scales[o * matrix.blocks + Math.floor(i / 16)]!;
            // Half a step, or what the narrowest range and the rounding of its zero point cut off.
            expect(Math.abs(back(i, o) - at(i, o))).toBeLessThanOrEqual(scale * (0.5 + 15 * (1 / 0.8 - 1)) + 1e-12);
          }
        }
      }),
    );
  });

  it('are nearer to the weights the smaller they are', () => {
    const random = seededRandom(6);
    const weights = Array.from({ length: 1024 }, () => random() + random() - 1);
    const errorOf = (blockSize: number): number => {
      const back = unpacked(
        quantizeBlocks((i) => weights[i]!, 1024, 1, blockSize),
        1024,
        blockSize,
      );
      return weights.reduce((sum, weight, i) => sum + (back(i, 0) - weight) ** 2, 0);
    };
    expect(errorOf(16)).toBeLessThan(errorOf(64));
    expect(errorOf(64)).toBeLessThan(errorOf(256));
  });

  it('represent zeros exactly', () => {
    const random = seededRandom(1);
    const weights = Array.from({ length: 64 }, (_, i) => (i % 3 === 0 ? 0 : random() + 2));
    const back = unpacked(
      quantizeBlocks((i) => weights[i]!, 64, 1, 32),
      64,
      32,
    );
    for (let i = 0; i < 64; i += 3) expect(back(i, 0)).toBe(0);
    const nothing = unpacked(
      quantizeBlocks(() => 0, 20, 1, 16),
      20,
      16,
    );
    expect(nothing(3, 0)).toBe(0);
  });

  it.each([
    [64, 24, 32],
    [70, 5, 32],
    [40, 9, 16],
    [256, 3, 128],
    [17, 4, 64],
  ])('mean to ONNX Runtime what they mean here: %i × %i in blocks of %i', async (inputs, outputs, blockSize) => {
    const random = seededRandom(inputs);
    const weights = Float32Array.from({ length: inputs * outputs }, () => random() - 0.4);
    const graph = new GraphBuilder('product');
    const x = graph.input('x', DataType.FLOAT, ['N', inputs]);
    const w = graph.initializer('w', float32(weights, [inputs, outputs]));
    graph.node('MatMul', [x, w], {}, { outputs: ['y'] });
    graph.output('y', DataType.FLOAT, ['N', outputs]);
    const model = quantizeInt4(graph.build(), { blockSize });
    const back = unpacked(
      quantizeBlocks((i, o) => weights[i * outputs + o]!, inputs, outputs, blockSize),
      inputs,
      blockSize,
    );
    // One input at a time, and a level of int8 exactly: the product is the dequantised weight itself.
    const data = new Float32Array(inputs * inputs);
    for (let i = 0; i < inputs; i += 1) data[i * inputs + i] = 1;
    const y = await withSession(encodeModel(model), async (session) => {
      const results = await session.run({ x: new ort.Tensor('float32', data, [inputs, inputs]) });
      return results['y']!.data as Float32Array;
    });
    for (let i = 0; i < inputs; i += 1) {
      for (let o = 0; o < outputs; o += 1) expect(y[i * outputs + o]).toBeCloseTo(back(i, o), 4);
    }
  });
});

describe('int4', () => {
  it.each([denseNetwork, matMulNetwork])('computes every matrix in 4 bits: %o', async (make) => {
    const { operators, casts } = await inspectOptimised(quantizeInt4(make(seededRandom(1))));
    expect(operators).not.toHaveProperty('Gemm');
    expect(operators).not.toHaveProperty('MatMul');
    expect(operators['com.microsoft.MatMulNBits']).toBeGreaterThan(1);
    expect(casts).toEqual([]);
  });

  it('scores as fp32 does, but for a few per cent', async () => {
    const random = seededRandom(2);
    const model = denseNetwork(random, [64, 128, 32, 128, 64]);
    const windows = waves(random, 128);
    const { score: exact } = await scoreWindows(encodeModel(model), windows);
    const { score } = await scoreWindows(encodeModel(quantizeInt4(model)), windows);
    const errors = score.map((value, n) => Math.abs(value / exact[n]! - 1));
    expect(errors.reduce((a, b) => a + b) / errors.length).toBeLessThan(0.03);
  });

  it('is a sixth of the size in blocks of 32', () => {
    const model = denseNetwork(seededRandom(3), [64, 256, 64, 256, 64]);
    expect(encodeModel(quantizeInt4(model)).length / encodeModel(model).length).toBeLessThan(0.22);
  });

  it('leaves convolutions in float, and refuses a graph or block size that it cannot do', () => {
    const { graph } = quantizeInt4(convNetwork(seededRandom(4)));
    expect(graph.node.map(({ opType }) => opType)).toEqual(expect.arrayContaining(['Conv', 'MatMulNBits']));
    expect(() => quantizeInt4(denseNetwork(seededRandom(4)), { blockSize: 24 })).toThrow(InvalidTrainingOptionsError);
    const nothing = new GraphBuilder('none');
    nothing.node('Relu', [nothing.input('window', DataType.FLOAT, ['N', 4])], {}, { outputs: ['score'] });
    nothing.output('score', DataType.FLOAT, ['N', 4]);
    expect(() => quantizeInt4(nothing.build())).toThrow(UnsupportedGraphError);
  });
});
