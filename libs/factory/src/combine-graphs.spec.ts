import { DataType, encodeModel, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { combineDetectors, combineGraphs } from './combine-graphs.ts';
import { scoreWindows, withSession } from './detector-session.ts';
import { InvalidTrainingOptionsError, UnsupportedGraphError } from './errors.ts';
import { FIXTURE_SHAPE, machineRecording } from './machine.fixture.ts';
import { trainPca } from './pca/train-pca.ts';
import { windowsOf } from './window-set.ts';

const policy = { kind: 'threshold', threshold: 1, releaseRatio: 1, minLength: 1 } as const;

function trained(window: number): ReturnType<typeof trainPca> & { shape: typeof FIXTURE_SHAPE } {
  const shape = { ...FIXTURE_SHAPE, window };
  return { ...trainPca(windowsOf([machineRecording(400, 1)], shape)), shape };
}

/** Adds up the newest samples of all windows seen; its score is the sum before this window. */
function adder(window: number, channels: number, opset = 21): ValidModel {
  const graph = new GraphBuilder('adder');
  const x = graph.input('window', DataType.FLOAT, [1, window, channels]);
  const sum = graph.input('state.sum', DataType.FLOAT, [1, channels]);
  const axis = graph.initializer('axis', int64([1]));
  const newest = graph.node('Gather', [x, graph.initializer('last', int64(window - 1))], { axis: 1 });
  graph.node('Add', [sum, newest], {}, { outputs: ['state.sum.next'] });
  graph.node('Abs', [newest], {}, { outputs: ['contributions'] });
  graph.node('ReduceSum', [sum, axis], { keepdims: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, [1, 1]);
  graph.output('contributions', DataType.FLOAT, [1, channels]);
  graph.output('state.sum.next', DataType.FLOAT, [1, channels]);
  return graph.build({ opset });
}

describe('a combination of detectors', () => {
  it('gives the scores of each on the newest samples of the longest window', async () => {
    const short = trained(3);
    const long = trained(8);
    const whole = combineDetectors([short, long], 'both', policy);
    expect(whole.shape.window).toBe(8);
    const recording = machineRecording(60, 2);
    const windows = windowsOf([recording], long.shape);
    const shortWindows = windowsOf([recording], short.shape, [5, 60]);
    const a = await scoreWindows(encodeModel(short.graph), shortWindows);
    const b = await scoreWindows(encodeModel(long.graph), windows);
    await withSession(encodeModel(whole.graph), async (session) => {
      const feeds = { window: new ort.Tensor('float32', windows.data, [windows.count, 8, 4]) };
      const outputs = await session.run(feeds);
      const score = outputs['score']!.data as Float32Array;
      const contributions = outputs['contributions']!.data as Float32Array;
      for (let n = 0; n < windows.count; n += 1) {
        expect(score[2 * n]).toBeCloseTo(a.score[n]!, 4);
        expect(score[2 * n + 1]).toBeCloseTo(b.score[n]!, 4);
        const shares = (of: Float32Array): number[] => {
          const row = of.subarray(4 * n, 4 * n + 4);
          return Array.from(row, (value) => value / row.reduce((sum, part) => sum + part, 0));
        };
        const expected = shares(a.contributions).map((share, c) => (share + shares(b.contributions)[c]!) / 2);
        for (const [c, share] of expected.entries()) expect(contributions[4 * n + c]).toBeCloseTo(share, 4);
      }
    });
  });

  it('keeps the state of each apart, and takes one window at a time then', async () => {
    const graph = combineGraphs(
      [
        { graph: adder(1, 2), window: 1 },
        { graph: adder(3, 2), window: 3 },
      ],
      2,
    );
    await withSession(encodeModel(graph), async (session) => {
      expect([...session.inputNames].toSorted()).toEqual(['state.0.sum', 'state.1.sum', 'window']);
      const outputs = await session.run({
        window: new ort.Tensor('float32', new Float32Array([9, 9, 9, 9, 1, 2]), [1, 3, 2]),
        'state.0.sum': new ort.Tensor('float32', new Float32Array([10, 20]), [1, 2]),
        'state.1.sum': new ort.Tensor('float32', new Float32Array([1, 1]), [1, 2]),
      });
      expect([...(outputs['score']!.data as Float32Array)]).toEqual([30, 2]);
      expect([...(outputs['state.0.sum.next']!.data as Float32Array)]).toEqual([11, 22]);
      expect([...(outputs['state.1.sum.next']!.data as Float32Array)]).toEqual([2, 3]);
    });
  });

  it('can be combined again', () => {
    const twice = combineGraphs([{ graph: adder(2, 2), window: 2 }], 2);
    const again = combineGraphs(
      [
        { graph: twice, window: 2 },
        { graph: adder(4, 2), window: 4 },
      ],
      2,
    );
    expect(again.graph.input.map(({ name }) => name)).toEqual(['window', 'state.0.0.sum', 'state.1.sum']);
    expect(again.graph.output[0]!.type!.tensorType!.shape!.dim.map(({ dimValue }) => dimValue)).toEqual([1, 2]);
  });

  it('refuses graphs of different operator sets, and detectors that were cut differently', () => {
    const parts = [adder(1, 2), adder(1, 2, 20)].map((graph) => ({ graph, window: 1 }));
    expect(() => combineGraphs(parts, 2)).toThrow(UnsupportedGraphError);
    const slow = { ...trained(3), shape: { ...FIXTURE_SHAPE, window: 3, rateHz: 10 } };
    expect(() => combineDetectors([trained(3), slow], 'both', policy)).toThrow(InvalidTrainingOptionsError);
  });
});
