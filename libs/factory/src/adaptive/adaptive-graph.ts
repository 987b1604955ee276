import { DataType, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { addWhitening } from '../mahalanobis/mahalanobis-graph.ts';
import { addScaledInput, addSmoothing } from '../mahalanobis/smoothing-graph.ts';
import type { SmoothingInput } from '../mahalanobis/smoothing-graph.ts';
import type { Whitening } from '../mahalanobis/whitening.ts';
import type { Following } from './follow.ts';

export interface AdaptiveModel extends SmoothingInput {
  readonly following: Following;
  readonly whitening: Whitening;
  /** The largest deviation that becomes a score of 1. */
  readonly unit: number;
}

/**
 * The detector graph: smoothed channels less their baselines, whitened: y. A channel's contribution is its largest y² of all
 * rates, the score the root of the largest contribution. State: what smoothing keeps, and `state.baseline` [1, K × C] in
 * scaled units, where 0 is the channels' center in training.
 */
export function buildAdaptiveGraph(model: AdaptiveModel): ValidModel {
  const { following, whitening, unit, scale, rates } = model;
  const channels = scale.center.length;
  const { features } = whitening;
  const graph = new GraphBuilder('adaptive-baselines');
  const smooth = addSmoothing(graph, addScaledInput(graph, model), channels, rates);
  const baseline = graph.input('state.baseline', DataType.FLOAT, [1, features]);
  const e = graph.node('Sub', [smooth, baseline]);
  const y = addWhitening(graph, e, whitening, 1 / unit);
  addFollowing(graph, { baseline, e, following, features });

  const cube = graph.initializer('cube', int64([1, rates.length, channels]));
  const middle = graph.initializer('rate_axis', int64([1]));
  const squares = graph.node('Reshape', [graph.node('Mul', [y, y]), cube]);
  graph.node('ReduceMax', [squares, middle], { keepdims: 0 }, { outputs: ['contributions'] });
  const largest = graph.node('ReduceMax', ['contributions', middle], { keepdims: 1 });
  graph.node('Sqrt', [largest], {}, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, [1, 1]);
  graph.output('contributions', DataType.FLOAT, [1, channels]);
  return graph.build();
}

/** The next baseline: a step towards the feature, a much smaller one where it is far off (by z, which whitening made). */
function addFollowing(
  graph: GraphBuilder,
  { baseline, e, following, features }: { baseline: string; e: string; following: Following; features: number },
): void {
  const { rate, freeze, frozenShare } = following;
  const far = graph.node('GreaterOrEqual', [graph.node('Abs', ['z']), graph.initializer('freeze', float32(freeze))]);
  const follows = graph.initializer('follow_rate', float32(rate));
  const frozen = graph.initializer('frozen_rate', float32(rate * frozenShare));
  const step = graph.node('Mul', [graph.node('Where', [far, frozen, follows]), e]);
  graph.node('Add', [baseline, step], {}, { outputs: ['state.baseline.next'] });
  graph.output('state.baseline.next', DataType.FLOAT, [1, features]);
}
