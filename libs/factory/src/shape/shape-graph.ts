import { DataType, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import type { ShapeModel } from './shape-model.ts';

/** More than any mean squared distance can be, and still a number in half precision. */
const OUT_OF_REACH = 2 ** 14;
/** Samples that no memory holds. */
const NEVER = 2 ** 14;

/**
 * The detector graph: the newest `span` samples (as far as there are that many) against every window of as many samples in
 * the training series and in the memory, but for those that overlap them. Score = root mean square distance to the nearest
 * one / unit, contributions = mean squared distance from it per channel.
 *
 * State: `state.memory` [C, M], normalised, the newest sample last; `state.count` [1], how many of its newest samples are
 * real, so that zeros are an empty memory.
 *
 * All windows of a series of N samples at once are `span + 1` copies of it, one after another, read in rows of N + 1:
 * row i starts one sample later than row i − 1. What wraps around at a row's end is no window and is never near.
 */
export function buildShapeGraph(model: ShapeModel): ValidModel {
  const { channels, span, memory, step, limit } = model;
  const length = model.training.length / channels + memory;
  const graph = new GraphBuilder('nearest-shape');
  const ints = (name: string, ...values: number[]): string => graph.initializer(name, int64(values));
  const x = graph.input('window', DataType.FLOAT, [1, step, channels]);
  const memoryIn = graph.input('state.memory', DataType.FLOAT, [channels, memory]);
  const countIn = graph.input('state.count', DataType.FLOAT, [1]);
  const first = ints('axis_0', 0);
  const second = ints('axis_1', 1);

  const center = graph.initializer('center', float32(model.center));
  const scale = graph.initializer('inverse_deviation', float32(model.deviation.map((d) => 1 / d)));
  const low = graph.initializer('low', float32(-limit));
  const high = graph.initializer('high', float32(limit));
  const z = graph.node('Clip', [graph.node('Mul', [graph.node('Sub', [x, center]), scale]), low, high]);
  const fresh = graph.node('Transpose', [graph.node('Reshape', [z, ints('rows', step, channels)])], { perm: [1, 0] });

  // State.
  const seen = graph.node('Concat', [memoryIn, fresh], { axis: 1 });
  const kept = graph.node(
    'Slice',
    [seen, ints('kept_from', step), ints('kept_to', step + memory), second],
    {},
    { outputs: ['state.memory.next'] },
  );
  const more = graph.node('Add', [countIn, graph.initializer('step', float32([step]))]);
  const count = graph.node(
    'Min',
    [more, graph.initializer('most', float32([memory]))],
    {},
    { outputs: ['state.count.next'] },
  );

  // Squared differences [C, span, N + 1] of every window from the newest one.
  const newest = graph.node('Slice', [kept, ints('new_from', memory - span), ints('new_to', memory), second]);
  const training = graph.initializer('training', float32(model.training, [channels, length - memory]));
  const series = graph.node('Concat', [training, kept], { axis: 1 });
  const copies = graph.node('Tile', [series, ints('copies', 1, span + 1)]);
  const cut = graph.node('Slice', [copies, ints('cut_from', 0), ints('cut_to', span * (length + 1)), second]);
  const windows = graph.node('Reshape', [cut, ints('windows_shape', channels, span, length + 1)]);
  const column = graph.node('Reshape', [newest, ints('newest_shape', channels, span, 1)]);
  const difference = graph.node('Sub', [windows, column]);
  const squares = graph.node('Mul', [difference, difference]);

  // Means over the samples that are real, [C, N + 1].
  const ages = Float32Array.from({ length: span }, (_, i) => span - i);
  const real = graph.node(
    'Cast',
    [graph.node('LessOrEqual', [graph.initializer('ages', float32(ages, [1, 1, span])), count])],
    { to: DataType.FLOAT },
  );
  const reals = graph.node('Min', [count, graph.initializer('span', float32([span]))]);
  const weights = graph.node('Div', [real, reals]);
  const means = graph.node('Reshape', [
    graph.node('MatMul', [weights, squares]),
    ints('means_shape', channels, length + 1),
  ]);

  // The nearest window that there may be.
  const start = graph.initializer('samples_needed', float32(samplesNeeded(model)));
  const missing = graph.node('Cast', [graph.node('Greater', [start, count])], { to: DataType.FLOAT });
  const penalty = graph.node('Mul', [missing, graph.initializer('out_of_reach', float32(OUT_OF_REACH))]);
  const overall = graph.node('ReduceMean', [means, first], { keepdims: 0 });
  const distances = graph.node('Add', [overall, penalty]);
  const nearest = graph.node('ArgMin', [distances], { axis: 0, keepdims: 1 });
  const best = graph.node('Gather', [distances, nearest]);
  const unit = graph.initializer('inverse_unit', float32(1 / model.unit));
  const score = graph.node('Mul', [graph.node('Sqrt', [best]), unit]);
  graph.node('Reshape', [score, ints('score_shape', 1, 1)], {}, { outputs: ['score'] });
  const parts = graph.node('Gather', [means, nearest], { axis: 1 });
  graph.node('Reshape', [parts, ints('contributions_shape', 1, channels)], {}, { outputs: ['contributions'] });

  graph.output('score', DataType.FLOAT, [1, 1]);
  graph.output('contributions', DataType.FLOAT, [1, channels]);
  graph.output('state.memory.next', DataType.FLOAT, [channels, memory]);
  graph.output('state.count.next', DataType.FLOAT, [1]);
  return graph.build();
}

/** `[N + 1]`, per window: how many samples the memory must hold for it to be one; more than it can where it never is. */
function samplesNeeded({ training, channels, trainingStarts, memory, span }: ShapeModel): Float32Array {
  const trained = training.length / channels;
  const needed = new Float32Array(trained + memory + 1).fill(NEVER);
  for (const start of trainingStarts) needed[start] = 0;
  // The last that does not overlap the newest window starts two windows before the end.
  for (let start = 0; start <= memory - 2 * span; start += 1) needed[trained + start] = memory - start;
  return needed;
}
