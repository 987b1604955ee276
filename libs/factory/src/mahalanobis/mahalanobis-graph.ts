import { DataType, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { addScaledInput, addSmoothing } from './smoothing-graph.ts';
import type { SmoothingInput } from './smoothing-graph.ts';
import { whiten } from './whitening.ts';
import type { Whitening } from './whitening.ts';

export interface MahalanobisModel extends SmoothingInput {
  /** `[C]`: the smoothed channels' center, scaled. */
  readonly mean: Float64Array;
  readonly whitening: Whitening;
  /** The distance that becomes a score of 1. */
  readonly unit: number;
}

/** √(Σ y² / C) of each row of smoothed channels. */
export function distances(
  smooth: Float64Array,
  [from, to]: readonly [number, number],
  mean: Float64Array,
  whitening: Whitening,
): Float64Array {
  const { features } = whitening;
  const e = new Float64Array(features);
  const y = new Float64Array(features);
  const result = new Float64Array(to - from);
  for (let n = from; n < to; n += 1) {
    for (let i = 0; i < features; i += 1) e[i] = smooth[n * features + i]! - mean[i]!;
    whiten(e, whitening, y);
    let square = 0;
    for (let i = 0; i < features; i += 1) square += y[i]! * y[i]!;
    result[n - from] = Math.sqrt(square / features);
  }
  return result;
}

/**
 * The detector graph: the smoothed channels' deviation from their mean, whitened: y. Contributions are y² / C, the score
 * the root of their sum. Whitening is symmetric, so each y belongs to one channel ("complete decomposition", C. Alcala &
 * S. Qin, Automatica 45, 2009).
 */
export function buildMahalanobisGraph(model: MahalanobisModel): ValidModel {
  const { mean, whitening, unit } = model;
  const channels = mean.length;
  const graph = new GraphBuilder('smoothed-mahalanobis');
  const smooth = addSmoothing(graph, addScaledInput(graph, model), channels, model.rates);
  const e = graph.node('Sub', [smooth, graph.initializer('mean', float32(mean, [1, channels]))]);
  const y = addWhitening(graph, e, whitening, 1 / (unit * Math.sqrt(channels)));
  const axis = graph.initializer('channel_axis', int64([1]));
  graph.node('Mul', [y, y], {}, { outputs: ['contributions'] });
  graph.node('Sqrt', [graph.node('ReduceSum', ['contributions', axis], { keepdims: 1 })], {}, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, [1, 1]);
  graph.output('contributions', DataType.FLOAT, [1, channels]);
  return graph.build();
}

/** Adds z = clip(e · inverse, ±limit), and y = z · root × gain. @param e `[1, F]` @returns name of y, `[1, F]` */
export function addWhitening(
  graph: GraphBuilder,
  e: string,
  { features, inverse, root, limit }: Whitening,
  gain: number,
): string {
  const scaled = graph.node('Mul', [e, graph.initializer('inverse', float32(inverse, [1, features]))]);
  const low = graph.initializer('low', float32(-limit));
  const high = graph.initializer('high', float32(limit));
  const z = graph.node('Clip', [scaled, low, high], {}, { outputs: ['z'] });
  const weight = graph.initializer(
    'weight',
    float32(
      root.map((value) => value * gain),
      [features, features],
    ),
  );
  return graph.node('MatMul', [z, weight], {}, { outputs: ['y'] });
}
