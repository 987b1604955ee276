import { DataType, encodeModel, float32, GraphBuilder, int64 } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { BrokenModelError } from '../errors.ts';
import { FIXTURE_SHAPE, machineRecording } from '../machine.fixture.ts';
import type { Recording } from '../window-set.ts';
import { scoreRecording, scoreRecordings } from './score-recording.ts';

/** Two signals: the window's last value, and how many windows came since the start or reset. */
function counter(): Uint8Array {
  const graph = new GraphBuilder('counter');
  const x = graph.input('window', DataType.FLOAT, [1, 2, 1]);
  const count = graph.input('state.count', DataType.FLOAT, [1, 1]);
  graph.node('Add', [count, graph.initializer('one', float32([1], [1, 1]))], {}, { outputs: ['state.count.next'] });
  const last = graph.node('Gather', [x, graph.initializer('last', int64([1]))], { axis: 1 });
  graph.node('Reshape', [last, graph.initializer('flat', int64([1, 1]))], {}, { outputs: ['contributions'] });
  graph.node('Concat', ['contributions', 'state.count.next'], { axis: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, [1, 2]);
  graph.output('contributions', DataType.FLOAT, [1, 1]);
  graph.output('state.count.next', DataType.FLOAT, [1, 1]);
  return encodeModel(graph.build());
}

/** Sum of all of a window's values, in an order that a batch could change; its root where asked. */
function sums(root = false): Uint8Array {
  const graph = new GraphBuilder('sums');
  const x = graph.input('window', DataType.FLOAT, ['N', 8, 4]);
  const weights = Float32Array.from({ length: 32 }, (_, i) => Math.sin(i + 1));
  const flat = graph.node('Reshape', [x, graph.initializer('flat', int64([-1, 32]))]);
  const sum = graph.node('MatMul', [flat, graph.initializer('weights', float32(weights, [32, 1]))]);
  graph.node(root ? 'Sqrt' : 'Identity', [sum], {}, { outputs: ['score'] });
  const overTime = graph.initializer('over_time', int64([1]));
  graph.node('ReduceMean', [x, overTime], { keepdims: 0 }, { outputs: ['contributions'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', 4]);
  return encodeModel(graph.build());
}

const SHAPE = { window: 2, stride: 1, rateHz: 1, maxGapMs: 2_000 };

/** Rows 0 to 9, with a minute between the fifth and the sixth. */
const gap: Recording = {
  channels: ['a'],
  rows: 10,
  values: Float32Array.from({ length: 10 }, (_, i) => i),
  timesMs: Float64Array.from({ length: 10 }, (_, i) => i * 1_000 + (i >= 5 ? 60_000 : 0)),
};

describe('scoring a recording', () => {
  it('keeps state from window to window and drops it at gaps', async () => {
    const { ends, restarts, scores, signals } = await scoreRecording(counter(), gap, SHAPE);
    expect(signals).toBe(2);
    expect([...ends]).toEqual([1, 2, 3, 4, 6, 7, 8, 9]);
    expect([...restarts]).toEqual([5]);
    expect([...scores]).toEqual([1, 1, 2, 2, 3, 3, 4, 4, 6, 1, 7, 2, 8, 3, 9, 4]);
  });

  it('keeps it over gaps where the shape says so, and starts every recording from nothing', async () => {
    const all = await scoreRecordings(counter(), [gap, gap], { ...SHAPE, stateReset: 'never' });
    for (const { scores } of all) {
      expect([...scores].filter((_, i) => i % 2 === 1)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    }
  });

  it('scores the warm-up but leaves it out, after a gap too', async () => {
    const { ends, scores } = await scoreRecording(counter(), gap, { ...SHAPE, warmup: 2 });
    expect([...ends]).toEqual([3, 4, 8, 9]);
    expect([...scores].filter((_, i) => i % 2 === 1)).toEqual([3, 4, 3, 4]);
  });

  it('gives a window the same bits however many follow it', async () => {
    const recording = machineRecording(400, 1);
    const whole = await scoreRecording(sums(), recording, FIXTURE_SHAPE);
    expect(whole.scores).toHaveLength(393);
    for (const rows of [8, 9, 100, 257, 399]) {
      const cut = { ...recording, rows, values: recording.values.subarray(0, rows * 4), labels: new Uint8Array(rows) };
      const { scores } = await scoreRecording(sums(), cut, FIXTURE_SHAPE);
      expect(scores).toEqual(whole.scores.subarray(0, scores.length));
      expect(scores).toHaveLength(rows - 7);
    }
  });

  it('refuses scores that are no numbers, and stops when told to', async () => {
    const recording = machineRecording(100, 1);
    const negative = { ...recording, values: recording.values.map((_, i) => -Math.sin((i % 32) + 1)) };
    await expect(scoreRecording(sums(true), negative, FIXTURE_SHAPE)).rejects.toThrow(BrokenModelError);
    const stopped = scoreRecording(sums(), recording, FIXTURE_SHAPE, AbortSignal.abort(new TypeError('enough')));
    await expect(stopped).rejects.toThrow('enough');
  });

  it('gives nothing for a recording that is shorter than a window', async () => {
    const short = { ...gap, rows: 1, values: gap.values.subarray(0, 1), timesMs: gap.timesMs!.subarray(0, 1) };
    expect((await scoreRecording(counter(), short, SHAPE)).scores).toHaveLength(0);
    expect(await scoreRecordings(counter(), [], SHAPE)).toEqual([]);
  });
});
