import { DataType, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import type { Family } from '../detector.ts';
import { InvalidTrainingOptionsError, NotEnoughDataError } from '../errors.ts';
import { channelScale } from '../shape/channel-scale.ts';
import type { ChannelScale } from '../shape/channel-scale.ts';
import { priorOf, TAIL_DEFAULTS } from '../shape/tail-prior.ts';
import { channelsOf, windowsOf } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';

export interface ValueOptions {
  /** Mean evidence of an alarm. */
  readonly threshold: number;
}

export const DEFAULT_VALUE_OPTIONS: ValueOptions = { threshold: 2.6 };

/** Deviations at which a value is cut off: only so that every float32 gives a finite score. */
const LIMIT = 1e6;
const MOST_WINDOWS = 4_000;
const FEWEST_WINDOWS = 20;

/** The plain value, judged by how often it was ever so high or so low. */
export const value: Family<ValueOptions> = {
  name: 'value',
  summary: 'the plain value, or the largest deviation of several: finds what was never so high or so low',
  defaults: DEFAULT_VALUE_OPTIONS,
  train({ recordings, stride, rateHz, maxGapMs }, partial) {
    const options = { ...DEFAULT_VALUE_OPTIONS, ...partial };
    if (!(options.threshold > 0)) throw new InvalidTrainingOptionsError('threshold must be positive.');
    const channels = channelsOf(recordings).length;
    const shape = { window: 1, stride, rateHz, maxGapMs };
    const trainedOn = windowsOf(recordings, shape, undefined, MOST_WINDOWS);
    if (trainedOn.count < FEWEST_WINDOWS) {
      throw new NotEnoughDataError(`${trainedOn.count} samples; at least ${FEWEST_WINDOWS} are needed.`);
    }
    const scale = channelScale(trainedOn);
    const deviations = deviationsOf(trainedOn, scale);
    const { history, setAside, limit } = priorOf(deviations);
    return {
      family: 'value',
      graph: buildValueGraph(scale, channels),
      shape,
      policy: {
        ...TAIL_DEFAULTS,
        threshold: options.threshold,
        sides: [channels === 1 ? 'both' : 'upper'],
        prior: [history],
      },
      warmup: 0,
      stateReset: 'never',
      trainedOn,
      normal: Array.from(deviations, (deviation) => Math.abs(deviation) <= limit),
      constantChannels: [],
      summary: { samples: trainedOn.count, setAside, options },
    };
  },
};

/** The score of every sample: the deviation with its sign of one channel, the largest without of several. */
export function deviationsOf({ data, count, channels }: WindowSet, { center, deviation }: ChannelScale): Float64Array {
  return Float64Array.from({ length: count }, (_, n) => {
    let largest = 0;
    for (let c = 0; c < channels; c += 1) {
      const z = (data[n * channels + c]! - center[c]!) / deviation[c]!;
      const cut = Math.min(LIMIT, Math.max(-LIMIT, z));
      if (channels === 1) return cut;
      largest = Math.max(largest, Math.abs(cut));
    }
    return largest;
  });
}

/** Score = (x − center) / deviation of one channel, the largest |…| of several; contributions = |…|. */
function buildValueGraph({ center, deviation }: ChannelScale, channels: number): ValidModel {
  const graph = new GraphBuilder('plain-value');
  const x = graph.input('window', DataType.FLOAT, ['N', 1, channels]);
  const from = graph.initializer('center', float32(center));
  const scale = graph.initializer('inverse_deviation', float32(deviation.map((d) => 1 / d)));
  const low = graph.initializer('low', float32(-LIMIT));
  const high = graph.initializer('high', float32(LIMIT));
  const flat = graph.initializer('flat_shape', int64([-1, channels]));
  const scaled = graph.node('Mul', [graph.node('Sub', [graph.node('Reshape', [x, flat]), from]), scale]);
  // One channel's deviation is the score itself, with its sign.
  const z = graph.node('Clip', [scaled, low, high], {}, { outputs: [channels === 1 ? 'score' : 'z'] });
  graph.node('Abs', [z], {}, { outputs: ['contributions'] });
  if (channels > 1) {
    const axis = graph.initializer('channel_axis', int64([1]));
    graph.node('ReduceMax', ['contributions', axis], { keepdims: 1 }, { outputs: ['score'] });
  }
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', channels]);
  return graph.build();
}
