import type { ModelSignature } from '@drover/contracts';
import { DataType, encodeModel, float32, GraphBuilder, int64 } from '@drover/onnx';
import { FIXTURE_CHANNELS } from '../machine.fixture.ts';

export interface ForeignGraph {
  /** Name of the score's output. Default `score`. */
  readonly score?: string;
  readonly channels?: number;
  /** Added to the score. */
  readonly offset?: number;
  /** Adds a running mean of the contributions as a second signal, kept as state. */
  readonly stateful?: boolean;
  /** The score is its square root's logarithm of a negative number: no number. */
  readonly broken?: boolean;
}

export const FOREIGN_WINDOW = 4;

export const FOREIGN_SIGNATURE: ModelSignature = {
  channels: FIXTURE_CHANNELS.map((name) => ({ name, kind: 'numeric', resampling: 'last' })),
  rateHz: 1,
  window: FOREIGN_WINDOW,
  stride: 1,
  warmup: 2,
  maxGapMs: 5_000,
  stateReset: 'gap',
};

/**
 * A detector as somebody else may have exported it: the distance of a window's values, weighed by a dense layer, from what
 * the machine of the fixture usually shows.
 */
export function foreignGraph(options: ForeignGraph = {}): Uint8Array {
  const { score = 'score', channels = FIXTURE_CHANNELS.length, offset = 0, stateful = false, broken = false } = options;
  const graph = new GraphBuilder('foreign');
  const n = stateful ? 1 : 'N';
  const x = graph.input('window', DataType.FLOAT, [n, FOREIGN_WINDOW, channels]);
  const center = graph.initializer('center', float32([5, 120, 1.8, 60].slice(0, channels)));
  const scale = graph.initializer('scale_by', float32([2, 0.12, 5, 1.4].slice(0, channels)));
  const z = graph.node('Mul', [graph.node('Sub', [x, center]), scale]);
  const mixing = Float32Array.from({ length: channels * channels }, (_, i) =>
    i % (channels + 1) === 0 ? 1 : -0.3 * Math.cos(i),
  );
  const y = graph.node('MatMul', [z, graph.initializer('mixing', float32(mixing, [channels, channels]))]);
  const overTime = graph.initializer('over_time', int64([1]));
  graph.node('ReduceSumSquare', [y, overTime], { keepdims: 0 }, { outputs: ['contributions'] });
  const sum = graph.node('ReduceSum', ['contributions', overTime], { keepdims: 1 });
  const signed = broken ? graph.node('Sub', [graph.initializer('minus', float32([-1], [1, 1])), sum]) : sum;
  const distance = graph.node('Sqrt', [signed]);
  const shifted = graph.node('Add', [distance, graph.initializer('offset', float32([offset], [1, 1]))]);
  if (stateful) {
    const mean = graph.input('state.mean', DataType.FLOAT, [1, 1]);
    const kept = graph.node('Mul', [mean, graph.initializer('keep', float32([0.9], [1, 1]))]);
    const added = graph.node('Mul', [shifted, graph.initializer('take', float32([0.1], [1, 1]))]);
    graph.node('Add', [kept, added], {}, { outputs: ['state.mean.next'] });
    graph.node('Concat', [shifted, 'state.mean.next'], { axis: 1 }, { outputs: [score] });
    graph.output('state.mean.next', DataType.FLOAT, [1, 1]);
  } else {
    graph.node('Identity', [shifted], {}, { outputs: [score] });
  }
  graph.output(score, DataType.FLOAT, [n, stateful ? 2 : 1]);
  graph.output('contributions', DataType.FLOAT, [n, channels]);
  return encodeModel(graph.build());
}
