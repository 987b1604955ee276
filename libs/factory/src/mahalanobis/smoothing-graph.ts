import { DataType, float32, int64 } from '@drover/onnx';
import type { GraphBuilder } from '@drover/onnx';
import { LARGEST_STEP } from './smoothing.ts';
import type { ChannelScale } from './smoothing.ts';

/** What a smoothing detector's graph begins with. */
export interface SmoothingInput {
  readonly window: number;
  /** Samples at the window's end that are new. */
  readonly newest: number;
  readonly scale: ChannelScale;
  readonly rates: readonly number[];
}

/**
 * Adds `window` and the scaled mean of its newest samples, [1, C].
 *
 * @returns name of the value
 */
export function addScaledInput(graph: GraphBuilder, { window, newest, scale }: SmoothingInput): string {
  const channels = scale.center.length;
  const x = graph.input('window', DataType.FLOAT, [1, window, channels]);
  const axis = graph.initializer('window_axis', int64([1]));
  const from = graph.initializer('newest_from', int64([window - newest]));
  const to = graph.initializer('newest_to', int64([window]));
  const newer = newest === window ? x : graph.node('Slice', [x, from, to, axis]);
  const center = graph.initializer('center', float32(scale.center));
  // Before the mean: sums of large values would lose the small differences between them.
  const deviation = graph.node('Mul', [
    graph.node('Sub', [newer, center]),
    graph.initializer('inverse_deviation', float32(scale.inverse)),
  ]);
  return graph.node('ReduceMean', [deviation, axis], { keepdims: 0 });
}

/**
 * Adds the means of the last rows as state: `state.ewma` [1, K × C] in scaled units, and `state.filled` [1, 1], which is 0
 * before the first row (so that zeros mean "empty") and 1 from then on.
 *
 * @param scaled `[1, C]`
 * @returns name of the means after this row, [1, K × C]
 */
export function addSmoothing(graph: GraphBuilder, scaled: string, channels: number, rates: readonly number[]): string {
  const features = rates.length * channels;
  const before = graph.input('state.ewma', DataType.FLOAT, [1, features]);
  const filled = graph.input('state.filled', DataType.FLOAT, [1, 1]);
  const one = graph.initializer('one', float32([1], [1, 1]));
  const weights = Float64Array.from({ length: features }, (_, i) => rates[Math.floor(i / channels)]!);
  const rate = graph.initializer('rate', float32(weights, [1, features]));
  const repeated =
    rates.length === 1
      ? scaled
      : graph.node(
          'Concat',
          rates.map(() => scaled),
          { axis: 1 },
        );
  const low = graph.initializer('least_step', float32(-LARGEST_STEP));
  const high = graph.initializer('largest_step', float32(LARGEST_STEP));
  const step = graph.node('Clip', [graph.node('Sub', [repeated, before]), low, high]);
  const empty = graph.node('Sub', [one, filled]);
  // The first row has all the weight, because no rate is above 1.
  const weight = graph.node('Max', [rate, empty]);
  const after = graph.node('Add', [before, graph.node('Mul', [weight, step])], {}, { outputs: ['state.ewma.next'] });
  graph.node('Max', [filled, one], {}, { outputs: ['state.filled.next'] });
  graph.output('state.ewma.next', DataType.FLOAT, [1, features]);
  graph.output('state.filled.next', DataType.FLOAT, [1, 1]);
  return after;
}
