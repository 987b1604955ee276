import { DataType, decodeModel, encodeModel, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.ts';
import { costOf } from './cost-of.ts';
import { CHANNELS, convNetwork, denseNetwork, waves, WINDOW } from './networks.fixture.ts';
import { quantizeInt4 } from './quantize-int4.ts';
import { quantizeInt8Dynamic } from './quantize-int8-dynamic.ts';
import { quantizeInt8 } from './quantize-int8.ts';
import { toFp16 } from './to-fp16.ts';

const SHAPE = { window: WINDOW, channels: CHANNELS };
const FLOAT = 4;

describe('the cost of a model', () => {
  it('of dense layers is as counted by hand', () => {
    const cost = costOf(denseNetwork(seededRandom(1)), SHAPE);
    const weights = 64 * 48 + 48 * 8 + 8 * 48 + 48 * 64;
    const biases = 48 + 8 + 48 + 64;
    expect(cost.parameters).toBe(weights + biases);
    expect(cost.multiplyAccumulates).toBe(weights);
    const shapes = (2 + 3 + 1) * 8;
    // The window, and while it is compared: the reconstruction and their difference.
    expect(cost.peakMemoryBytes).toBeLessThanOrEqual((weights + biases + 3 * 64 + 5) * FLOAT + shapes);
    expect(cost.peakMemoryBytes).toBeGreaterThanOrEqual((weights + biases + 3 * 64) * FLOAT);
  });

  it('of convolutions is as counted by hand', () => {
    const cost = costOf(convNetwork(seededRandom(1)), SHAPE);
    const first = CHANNELS * 16 * 5;
    const second = 16 * 24 * 5;
    const dense = 24 * 8 * 64;
    expect(cost.parameters).toBe(first + 16 + second + 24 + dense + 64);
    expect(cost.multiplyAccumulates).toBe(first * WINDOW + second * (WINDOW / 2) + dense);
  });

  it('counts weights that are written as nodes', () => {
    const graph = new GraphBuilder('constants');
    const x = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
    const weight = graph.node('Constant', [], { value: { tensor: float32(new Float32Array(20), [CHANNELS, 5]) } });
    graph.node('MatMul', [x, weight], {}, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, ['N', WINDOW, 5]);
    const cost = costOf(graph.build(), SHAPE);
    expect(cost).toMatchObject({ parameters: 20, multiplyAccumulates: WINDOW * CHANNELS * 5 });
    expect(cost.peakMemoryBytes).toBe((20 + WINDOW * CHANNELS + WINDOW * 5) * FLOAT);
  });

  it('is the same work in every precision, and less memory', async () => {
    const random = seededRandom(2);
    const model = denseNetwork(random, [64, 256, 32, 256, 64]);
    const cost = costOf(model, SHAPE);
    const fp16 = costOf(toFp16(model), SHAPE);
    // Widened while it is loaded: what is saved is on disk.
    expect(fp16).toEqual(cost);
    const int8 = costOf((await quantizeInt8(model, waves(random, 16))).model, SHAPE);
    const dynamic = costOf(quantizeInt8Dynamic(model), SHAPE);
    const int4 = costOf(quantizeInt4(model), SHAPE);
    for (const [less, share] of [
      [int8, 0.35],
      [dynamic, 0.4],
      [int4, 0.3],
    ] as const) {
      expect(less.multiplyAccumulates).toBe(cost.multiplyAccumulates);
      expect(less.parameters / cost.parameters).toBeCloseTo(1, 1);
      expect(less.peakMemoryBytes).toBeLessThan(share * cost.peakMemoryBytes);
    }
  });

  it('counts values that live at one time, and not those that are gone', () => {
    const chain = (steps: number): ValidModel => {
      const graph = new GraphBuilder('chain');
      let x = graph.input('window', DataType.FLOAT, ['N', 100, 10]);
      for (let i = 0; i < steps; i += 1) x = graph.node('Relu', [x]);
      graph.output(x, DataType.FLOAT, ['N', 100, 10]);
      return graph.build();
    };
    const shape = { window: 100, channels: 10 };
    expect(costOf(chain(3), shape)).toEqual(costOf(chain(30), shape));
    // The input, which stays, and the input and output of a node.
    expect(costOf(chain(3), shape).peakMemoryBytes).toBe(3 * 1_000 * FLOAT);
  });

  it('is estimated on the high side where an operator is not known', () => {
    const graph = new GraphBuilder('strange');
    const x = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
    const w = graph.initializer('w', float32(new Float32Array(1_000)));
    const y = graph.node('Strange', [x, w], {}, { domain: 'own' });
    graph.node('Stranger', [y], {}, { domain: 'own', outputs: ['score'] });
    graph.output('score', DataType.FLOAT, []);
    const { graph: built, ...rest } = graph.build({ domains: { own: 1 } });
    delete built.output[0]!.type;
    const cost = costOf({ ...rest, graph: built }, SHAPE);
    expect(cost.parameters).toBe(1_000);
    expect(cost.multiplyAccumulates).toBe(1_000 * WINDOW);
    expect(cost.peakMemoryBytes).toBeGreaterThanOrEqual((1_000 + 64 + 1_064 + 1_064) * FLOAT);
  });

  it('shows a model whose values would not fit any machine', () => {
    const graph = new GraphBuilder('bomb');
    graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
    const shape = graph.initializer('shape', int64([2 ** 40, 2 ** 40]));
    graph.node('ConstantOfShape', [shape], {}, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, ['N', 1]);
    expect(costOf(graph.build(), SHAPE).peakMemoryBytes).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('stays a number where sizes double from node to node', () => {
    const graph = new GraphBuilder('doubling');
    let x = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
    for (let i = 0; i < 3_000; i += 1) x = graph.node('Strange', [x, x], {}, { domain: 'own' });
    graph.output(x, DataType.FLOAT, ['N', 1]);
    const { graph: built, ...rest } = graph.build({ domains: { own: 1 } });
    delete built.output[0]!.type;
    expect(costOf({ ...rest, graph: built }, SHAPE).peakMemoryBytes).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('is a number for any model that can be read', () => {
    const bytes = encodeModel(convNetwork(seededRandom(3)));
    const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const copy = Uint8Array.from(bytes);
        for (const [at, value] of changes) copy[at] = value;
        let model: ValidModel;
        try {
          model = decodeModel(copy);
        } catch {
          return;
        }
        for (const value of Object.values(costOf(model, SHAPE)))
          expect(Number.isSafeInteger(value) && value >= 0).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});
