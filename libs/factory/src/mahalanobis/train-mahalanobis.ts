import type { Family, TrainedDetector, TrainingContext, TrainingData } from '../detector.ts';
import { InvalidTrainingOptionsError } from '../errors.ts';
import { blocksOf, bulkOf } from '../held-out.ts';
import { buildMahalanobisGraph, distances } from './mahalanobis-graph.ts';
import type { MahalanobisModel } from './mahalanobis-graph.ts';
import { firstNormal, fitScale, scaleRows, smoothRows } from './smoothing.ts';
import type { ChannelScale } from './smoothing.ts';
import { newestOf, refuseStill, shapeOf, trainingRows } from './training-rows.ts';
import type { TrainingRows } from './training-rows.ts';
import { addMoments, driftOf, fitWhitening, momentsOf, smallestScales } from './whitening.ts';
import { smoothedDetector, unitOf } from './smoothed-detector.ts';
import type { DecisionOptions } from './smoothed-detector.ts';
import type { Moments, Whitening } from './whitening.ts';

export interface MahalanobisOptions extends DecisionOptions {
  /** Weight of the newest row in a smoothed channel, in (0, 1]; 1 is no smoothing. */
  readonly rate: number;
  /** Widening of slow channels: the variance times 1 + drift / effective samples. */
  readonly drift: number;
  /** Deviations at which a channel is cut off. */
  readonly limit: number;
  /** Blocks of time for cross-validation. */
  readonly folds: number;
  /** Largest share of rows that may be set aside as abnormal. */
  readonly maxContamination: number;
  /** Of longer recordings, pieces are trained on. */
  readonly maxRows: number;
}

export const DEFAULT_MAHALANOBIS_OPTIONS: MahalanobisOptions = {
  rate: 0.2,
  drift: 20,
  limit: 10,
  folds: 4,
  unitQuantile: 0.95,
  margin: 1.4,
  releaseRatio: 0.6,
  minLength: 2,
  maxContamination: 0.2,
  maxRows: 8_000,
};

const MOST_PASSES = 4;

/** A trained model and what it says of its own training rows. */
export interface TrainedMahalanobis {
  readonly detector: TrainedDetector;
  readonly model: MahalanobisModel;
  readonly rows: TrainingRows;
  /** `[N]`, in units of the score. */
  readonly heldOut: Float64Array;
}

/** Distance of lightly smoothed channels from their normal state. */
export const mahalanobis: Family<MahalanobisOptions> = {
  name: 'mahalanobis',
  summary: 'distance of lightly smoothed channels from their mean: robust, finds lasting shifts, trains at once',
  defaults: DEFAULT_MAHALANOBIS_OPTIONS,
  train: async (data, options, context) => (await trainMahalanobis(data, options, context)).detector,
};

/**
 * Trains the Mahalanobis distance of smoothed channels. Deterministic.
 *
 * Each channel's scale is widened by how slowly it moved in training (`driftOf`), so that drift does not alarm. The unit of
 * the score and which rows are set aside come from cross-validation over blocks of time, as with principal components.
 *
 * Source: P. Mahalanobis, 1936; on smoothed channels: C. Lowry, W. Woodall, C. Champ, S. Rigdon, "A multivariate
 * exponentially weighted moving average control chart", Technometrics 34, 1992.
 *
 * @throws NotEnoughDataError under 64 windows; UnusableDataError when no channel varies; InvalidTrainingOptionsError
 */
export async function trainMahalanobis(
  data: TrainingData,
  partial: Partial<MahalanobisOptions> = {},
  context?: Pick<TrainingContext, 'signal'>,
): Promise<TrainedMahalanobis> {
  const options = { ...DEFAULT_MAHALANOBIS_OPTIONS, ...partial };
  refuseImpossible(options);
  const shape = shapeOf(data);
  const rows = await trainingRows(data, shape, options.maxRows);
  context?.signal?.throwIfAborted();
  const fit = fitRobustly(rows, options);
  const unit = unitOf(fit, options);
  const model = {
    window: shape.window,
    newest: newestOf(shape),
    scale: fit.scale,
    rates: [options.rate],
    mean: fit.mean,
    whitening: fit.whitening,
    unit,
  };
  const detector = smoothedDetector({
    family: 'mahalanobis',
    graph: buildMahalanobisGraph(model),
    shape,
    rows,
    normal: fit.normal,
    inverseScale: fit.scale.inverse,
    options,
    summary: { widening: Array.from(fit.widening, (variance) => Number(Math.sqrt(variance).toFixed(2))) },
  });
  return { detector, model, rows, heldOut: fit.heldOut.map((distance) => distance / unit) };
}

interface Fit {
  readonly scale: ChannelScale;
  readonly mean: Float64Array;
  readonly whitening: Whitening;
  /** Variance factors per channel. */
  readonly widening: Float64Array;
  /** Per row, from a model that did not see its block. */
  readonly heldOut: Float64Array;
  readonly normal: readonly boolean[];
}

function fitRobustly(rows: TrainingRows, options: MahalanobisOptions): Fit {
  const { channels, count, starts } = rows;
  let normal: readonly boolean[] = firstNormal(rows, options.maxContamination);
  for (let pass = 1; ; pass += 1) {
    const scale = fitScale(rows, normal);
    refuseStill(scale.inverse);
    const smooth = smoothRows(scaleRows(rows, scale), starts, [options.rate]);
    const smallest = smallestScales(smooth, channels, normal);
    const blocks = blocksOf(count, options.folds);
    const parts = blocks.map((block) => momentsOf(smooth, channels, block, normal));
    const all = parts.reduce((sum, part) => addMoments(sum, part));
    const fitOn = (moments: Moments, use: readonly boolean[]): Pick<Fit, 'mean' | 'whitening' | 'widening'> => {
      const { mean, centered } = centeredMoments(moments);
      // Effective samples are counted as if there were as many rows as in the whole training.
      const widening = driftOf(smooth, channels, { use, starts }, (options.drift * moments.count) / all.count);
      return { mean, widening, whitening: fitWhitening(centered, widening, smallest, options) };
    };
    const heldOut = new Float64Array(count);
    for (const [k, block] of blocks.entries()) {
      const others = addMoments(all, parts[k]!, -1);
      // A block may hold all that is normal: then it is its own judge.
      const fair = others.count >= count / 4;
      const use = fair ? normal.map((flag, n) => flag && (n < block[0] || n >= block[1])) : normal;
      const { mean, whitening } = fitOn(fair ? others : all, use);
      heldOut.set(distances(smooth, block, mean, whitening), block[0]);
    }
    const next = bulkOf(heldOut, normal, options.maxContamination);
    if (pass === MOST_PASSES || next.every((flag, n) => flag === normal[n])) {
      return { scale, ...fitOn(all, normal), heldOut, normal };
    }
    normal = next;
  }
}

/** The mean, and the moments about it. */
function centeredMoments({ count, sum, scatter }: Moments): { mean: Float64Array; centered: Moments } {
  const mean = sum.map((value) => value / count);
  const features = mean.length;
  const about = scatter.map((value, at) => value - count * mean[Math.floor(at / features)]! * mean[at % features]!);
  for (let i = 0; i < features; i += 1) about[i * features + i] = Math.max(0, about[i * features + i]!);
  return { mean, centered: { count, sum, scatter: about } };
}

function refuseImpossible(options: MahalanobisOptions): void {
  const wrong = [
    [options.rate > 0 && options.rate <= 1, 'rate must be above 0 and at most 1'],
    [options.drift >= 0, 'drift must not be negative'],
    [options.limit > 0, 'limit must be positive'],
    [options.folds >= 2 && Number.isInteger(options.folds), 'folds must be a whole number from 2'],
    [options.margin > 0, 'margin must be positive'],
    [options.maxContamination >= 0 && options.maxContamination < 0.5, 'maxContamination must be from 0 to 0.5'],
    [options.maxRows >= 64, 'maxRows must be at least 64'],
  ] as const;
  const problem = wrong.find(([fine]) => !fine);
  if (problem) throw new InvalidTrainingOptionsError(`${problem[1]}.`);
}
