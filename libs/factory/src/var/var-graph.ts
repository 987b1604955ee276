import { DataType, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { addWhitening } from '../mahalanobis/mahalanobis-graph.ts';
import { addSmoothing } from '../mahalanobis/smoothing-graph.ts';
import { LARGEST_STEP } from '../mahalanobis/smoothing.ts';
import type { ChannelScale } from '../mahalanobis/smoothing.ts';
import type { Whitening } from '../mahalanobis/whitening.ts';
import type { Autoregression } from './autoregression.ts';

export interface VarModel {
  readonly window: number;
  /** Samples whose mean is one row of the regression. */
  readonly newest: number;
  readonly scale: ChannelScale;
  readonly regression: Autoregression;
  /** Weight of the newest forecast error. */
  readonly rate: number;
  readonly whitening: Whitening;
  /** The largest deviation that becomes a score of 1. */
  readonly unit: number;
}

/**
 * The detector graph: the window's last rows, each the mean of `newest` samples, scaled; the newest one less its forecast;
 * that error smoothed (state) and whitened: y. Contributions are y², the score is the root of the largest.
 */
export function buildVarGraph(model: VarModel): ValidModel {
  const { regression, whitening, unit } = model;
  const { channels, lags, bias } = regression;
  const graph = new GraphBuilder('vector-autoregression');
  const rows = addRows(graph, model);
  const weight = graph.initializer('forecast', float32(errorWeights(regression), [(lags + 1) * channels, channels]));
  const error = graph.node('Sub', [
    graph.node('MatMul', [rows, weight]),
    graph.initializer('bias', float32(bias, [1, channels])),
  ]);
  const smooth = addSmoothing(graph, error, channels, [model.rate]);
  const y = addWhitening(graph, smooth, whitening, 1 / unit);
  graph.node('Mul', [y, y], {}, { outputs: ['contributions'] });
  const axis = graph.initializer('channel_axis', int64([1]));
  graph.node('Sqrt', [graph.node('ReduceMax', ['contributions', axis], { keepdims: 1 })], {}, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, [1, 1]);
  graph.output('contributions', DataType.FLOAT, [1, channels]);
  return graph.build();
}

/** Adds `window` and its last L + 1 rows as one: `[1, (L + 1) × C]`. */
function addRows(graph: GraphBuilder, { window, newest, scale, regression }: VarModel): string {
  const { channels, lags } = regression;
  const used = (lags + 1) * newest;
  const x = graph.input('window', DataType.FLOAT, [1, window, channels]);
  const bounds = [window - used, window, 1].map((value, i) => graph.initializer(`rows_${i}`, int64([value])));
  const last = used === window ? x : graph.node('Slice', [x, ...bounds]);
  const deviation = graph.node('Mul', [
    graph.node('Sub', [last, graph.initializer('center', float32(scale.center))]),
    graph.initializer('inverse_deviation', float32(scale.inverse)),
  ]);
  const blocks = graph.node('Reshape', [deviation, graph.initializer('blocks', int64([lags + 1, newest, channels]))]);
  const means = graph.node('ReduceMean', [blocks, graph.initializer('block_axis', int64([1]))], { keepdims: 0 });
  const flat = graph.node('Reshape', [means, graph.initializer('flat', int64([1, (lags + 1) * channels]))]);
  const low = graph.initializer('least', float32(-LARGEST_STEP));
  const high = graph.initializer('largest', float32(LARGEST_STEP));
  return graph.node('Clip', [flat, low, high], {}, { outputs: ['rows'] });
}

/** `[(L + 1) × C, C]`: the newest row less its forecast, but for the bias. */
function errorWeights({ channels, lags, coefficients }: Autoregression): Float64Array {
  const past = lags * channels;
  const weights = new Float64Array((past + channels) * channels);
  for (let i = 0; i < past * channels; i += 1) weights[i] = -coefficients[i]!;
  for (let c = 0; c < channels; c += 1) weights[(past + c) * channels + c] = 1;
  return weights;
}
