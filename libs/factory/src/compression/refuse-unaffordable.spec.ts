import { DataType, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { UnaffordableModelError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import { CHANNELS, convNetwork, denseNetwork, WINDOW } from './networks.fixture.ts';
import { refuseUnaffordable } from './refuse-unaffordable.ts';

const SHAPE = { window: WINDOW, channels: CHANNELS };

function bomb(make: (graph: GraphBuilder, window: string) => string): ValidModel {
  const graph = new GraphBuilder('bomb');
  const huge = make(graph, graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]));
  graph.node('ReduceMax', [huge], {}, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  return graph.build();
}

describe('a graph that asks for more memory than there is', () => {
  it.each([
    ['a constant', (g) => g.node('ConstantOfShape', [g.initializer('shape', int64([2 ** 20, 2 ** 20]))])],
    ['a repetition', (g, x) => g.node('Tile', [x, g.initializer('times', int64([1, 2 ** 30, 1]))])],
    ['a padding', (g, x) => g.node('Pad', [x, g.initializer('pads', int64([0, 0, 0, 0, 2 ** 31, 0]))])],
    ['an expansion', (g, x) => g.node('Expand', [x, g.initializer('shape', int64([2 ** 28, 1, WINDOW, CHANNELS]))])],
    [
      'a product of two vectors',
      (g, x) => {
        const long = g.node('Tile', [x, g.initializer('times', int64([1, 10_000, 1]))]);
        const turned = g.node('Transpose', [long], { perm: [0, 2, 1] });
        return g.node('MatMul', [long, turned]);
      },
    ],
    [
      'a convolution with absurd padding',
      (g, x) => {
        const kernel = g.initializer('k', float32(new Float32Array(3 * WINDOW), [3, WINDOW, 1]));
        return g.node('Conv', [x, kernel], { pads: [2 ** 31, 2 ** 31] });
      },
    ],
  ] as [string, (graph: GraphBuilder, window: string) => string][])('is refused: %s', (_, make) => {
    expect(() => refuseUnaffordable(bomb(make), SHAPE)).toThrow(UnaffordableModelError);
    expect(() => refuseUnaffordable(bomb(make), SHAPE)).toThrow(/MiB/);
  });

  it('is refused for what it needs at one time, if no single value is large', () => {
    const graph = (count: number): ValidModel =>
      bomb((g, x) => {
        const parts = Array.from({ length: count }, () =>
          g.node('Tile', [x, g.initializer('times', int64([1, 1_000, 1]))]),
        );
        return g.node('Sum', parts);
      });
    const part = WINDOW * CHANNELS * 1_000 * 4;
    expect(() => refuseUnaffordable(graph(10), SHAPE, 9 * part)).toThrow(/about .* MiB of memory/);
    expect(() => refuseUnaffordable(graph(10), SHAPE, 13 * part)).not.toThrow();
  });

  it('is none of those that are trained here', () => {
    for (const make of [denseNetwork, convNetwork]) {
      expect(() => refuseUnaffordable(make(seededRandom(1)), SHAPE, 2 ** 20)).not.toThrow();
    }
  });
});
