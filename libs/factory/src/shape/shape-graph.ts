import { DataType, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import type { ShapeModel } from './shape-model.ts';

/** More than any distance of windows; still a number in half precision. */
const OUT_OF_REACH = 2 ** 15;
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
 * row i starts one sample later than row i − 1. What wraps around at a row's end is no window and is never near. Differences
 * are taken before they are squared: near ones would be lost in the rounding of a convolution. Every node costs a
 * microsecond or more, however little it does, so there are as few as can be.
 */
export function buildShapeGraph(model: ShapeModel): ValidModel {
  const { channels, span, memory, step, limit } = model;
  const trained = model.training.length / channels;
  const length = trained + memory;
  const graph = new GraphBuilder('nearest-shape');
  const ints = (name: string, ...values: number[]): string => graph.initializer(name, int64(values));
  const floats = (name: string, values: ArrayLike<number>, dims?: readonly number[]): string =>
    graph.initializer(name, float32(values, dims));
  const x = graph.input('window', DataType.FLOAT, [1, step, channels]);
  const memoryIn = graph.input('state.memory', DataType.FLOAT, [channels, memory]);
  const countIn = graph.input('state.count', DataType.FLOAT, [1]);
  const second = ints('axis_1', 1);

  const inverse = model.deviation.map((deviation) => 1 / deviation);
  const scaled = graph.node('Mul', [
    graph.node('Sub', [x, floats('center', model.center)]),
    floats('inverse_deviation', inverse),
  ]);
  const low = graph.initializer('low', float32(-limit));
  const high = graph.initializer('high', float32(limit));
  const fresh = byChannel(graph, graph.node('Clip', [scaled, low, high]), step, channels);

  // State.
  const seen = graph.node('Concat', [memoryIn, fresh], { axis: 1 });
  const bounds = [ints('kept_from', step), ints('kept_to', step + memory), second];
  const kept = graph.node('Slice', [seen, ...bounds], {}, { outputs: ['state.memory.next'] });
  const more = graph.node('Add', [countIn, floats('step', [step])]);
  const count = graph.node('Min', [more, floats('most', [memory])], {}, { outputs: ['state.count.next'] });

  // Squared differences [C, span, N + 1] of every window from the newest one.
  const newest = graph.node('Slice', [kept, ints('new_from', memory - span), ints('new_to', memory), second]);
  const series = graph.node('Concat', [floats('training', model.training, [channels, trained]), kept], { axis: 1 });
  const copies = graph.node('Tile', [series, ints('copies', 1, span + 1)]);
  const cut = graph.node('Slice', [copies, ints('cut_from', 0), ints('cut_to', span * (length + 1)), second]);
  const windows = graph.node('Reshape', [cut, ints('windows_shape', channels, span, length + 1)]);
  const column = graph.node('Reshape', [newest, ints('newest_shape', channels, span, 1)]);
  const difference = graph.node('Sub', [windows, column]);
  const squares = graph.node('Mul', [difference, difference]);

  // Means over the samples that are real, [C, N + 1].
  const real = graph.node('Min', [count, floats('span', [span])]);
  const row = graph.node('Cast', [real], { to: DataType.INT64 });
  const weights = graph.node('Gather', [floats('weights', weightsBySamples(model), [span + 1, span]), row]);
  const weighed = graph.node('MatMul', [weights, squares]);
  const means = graph.node('Reshape', [weighed, ints('means_shape', channels, length + 1)]);

  // The nearest window that there may be.
  const share = channels === 1 ? '' : floats('share', new Float32Array(channels).fill(1 / channels), [1, channels]);
  const overall = channels === 1 ? means : graph.node('MatMul', [share, means]);
  const missing = graph.node('Greater', [floats('samples_needed', samplesNeeded(model), [1, length + 1]), count]);
  const far = graph.initializer('out_of_reach', float32(OUT_OF_REACH));
  const distances = graph.node('Where', [missing, far, overall]);
  const best = graph.node('ReduceMin', [distances, second], { keepdims: 1 });
  const distance = graph.node('Sqrt', [best]);
  graph.node('Mul', [distance, floats('inverse_unit', [1 / model.unit])], {}, { outputs: ['score'] });
  if (channels === 1) graph.node('Identity', [best], {}, { outputs: ['contributions'] });
  else {
    const nearest = graph.node('ArgMin', [distances], { axis: 1, keepdims: 0 });
    const parts = graph.node('Gather', [means, nearest], { axis: 1 });
    graph.node('Reshape', [parts, ints('contributions_shape', 1, channels)], {}, { outputs: ['contributions'] });
  }
  graph.output('score', DataType.FLOAT, [1, 1]);
  graph.output('contributions', DataType.FLOAT, [1, channels]);
  graph.output('state.memory.next', DataType.FLOAT, [channels, memory]);
  graph.output('state.count.next', DataType.FLOAT, [1]);
  return graph.build();
}

/** From [1, step, C] to [C, step]. */
function byChannel(graph: GraphBuilder, z: string, step: number, channels: number): string {
  const reshape = (...dims: number[]): string =>
    graph.node('Reshape', [z, graph.initializer('fresh_shape', int64(dims))]);
  if (step === 1 || channels === 1) return reshape(channels, step);
  return graph.node('Transpose', [reshape(step, channels)], { perm: [1, 0] });
}

/** `[span + 1, span]`: row k weighs the newest k samples equally, so that a sum is a mean. */
function weightsBySamples({ span }: ShapeModel): Float32Array {
  const weights = new Float32Array((span + 1) * span);
  for (let real = 1; real <= span; real += 1) {
    weights.fill(1 / real, real * span + span - real, (real + 1) * span);
  }
  return weights;
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
