import type { Family, TrainedDetector, TrainingContext, TrainingData } from '../detector.ts';
import { InvalidTrainingOptionsError } from '../errors.ts';
import { largestDeviations } from '../adaptive/follow.ts';
import { blocksOf, bulkOf } from '../held-out.ts';
import { firstNormal, fitScale, LARGEST_STEP, smoothRows } from '../mahalanobis/smoothing.ts';
import type { ChannelScale } from '../mahalanobis/smoothing.ts';
import { refuseStill, trainingRows } from '../mahalanobis/training-rows.ts';
import type { TrainingRows } from '../mahalanobis/training-rows.ts';
import { addMoments, driftOf, fitWhitening, momentsOf, smallestScales } from '../mahalanobis/whitening.ts';
import type { Whitening } from '../mahalanobis/whitening.ts';
import type { WindowSet, WindowShape } from '../window-set.ts';
import { fitAutoregression, forecastErrors } from './autoregression.ts';
import type { Autoregression } from './autoregression.ts';
import { buildVarGraph } from './var-graph.ts';
import { smoothedDetector, unitOf } from '../mahalanobis/smoothed-detector.ts';
import type { DecisionOptions } from '../mahalanobis/smoothed-detector.ts';
import type { VarModel } from './var-graph.ts';

export interface VarOptions extends DecisionOptions {
  /** Rows of the past that the forecast is made of. */
  readonly lags: number;
  /** Ridge, in units of a channel's variance. */
  readonly ridge: number;
  /** Weight of the newest forecast error in the smoothed one. */
  readonly rate: number;
  /** As for `mahalanobis`. */
  readonly drift: number;
  readonly limit: number;
  readonly folds: number;
  readonly maxContamination: number;
  readonly maxRows: number;
}

export const DEFAULT_VAR_OPTIONS: VarOptions = {
  lags: 1,
  ridge: 0.3,
  rate: 0.1,
  drift: 20,
  limit: 10,
  folds: 4,
  unitQuantile: 0.95,
  margin: 1.8,
  releaseRatio: 0.6,
  minLength: 2,
  maxContamination: 0.2,
  maxRows: 8_000,
};

const MOST_PASSES = 4;
/** Samples whose mean is a row, where the stride is long. */
const LONGEST_MEAN = 64;

/** A trained model and what it says of its own training rows. */
export interface TrainedVar {
  readonly detector: TrainedDetector;
  readonly model: VarModel;
  readonly rows: TrainingRows;
}

/** Smoothed errors of a linear forecast. */
export const vectorAutoregression: Family<VarOptions> = {
  name: 'var',
  summary: 'errors of a linear forecast of all channels from their past: finds changed dynamics and relations',
  defaults: DEFAULT_VAR_OPTIONS,
  train: async (data, options, context) => (await trainVar(data, options, context)).detector,
};

/**
 * Trains a vector autoregression and the whitening of its smoothed forecast errors. Deterministic. Scale, widening, rows set
 * aside and the unit of the score are found as for `mahalanobis`, on forecasts for blocks of time that were not fitted.
 *
 * @throws NotEnoughDataError under 64 windows; UnusableDataError when no channel varies; InvalidTrainingOptionsError
 */
export async function trainVar(
  data: TrainingData,
  partial: Partial<VarOptions> = {},
  context?: Pick<TrainingContext, 'signal'>,
): Promise<TrainedVar> {
  const options = { ...DEFAULT_VAR_OPTIONS, ...partial };
  refuseImpossible(options);
  const { shape, newest, lags } = shapeFor(data, options.lags);
  const rows = await trainingRows(data, shape, options.maxRows);
  context?.signal?.throwIfAborted();
  const fit = fitRobustly(rows, { newest, lags }, options);
  const unit = unitOf(fit, options);
  const { scale, regression, whitening } = fit;
  const model = { window: shape.window, newest, scale, regression, rate: options.rate, whitening, unit };
  const detector = smoothedDetector({
    family: 'var',
    graph: buildVarGraph(model),
    shape,
    rows,
    normal: fit.normal,
    inverseScale: scale.inverse,
    options,
    summary: { lags },
  });
  return { detector, model, rows };
}

/** A window of L + 1 rows; where it was given and is shorter, fewer samples are averaged or fewer rows looked back. */
function shapeFor(
  { window, stride, rateHz, maxGapMs }: TrainingData,
  wanted: number,
): { shape: WindowShape; newest: number; lags: number } {
  const own = window ?? (wanted + 1) * Math.min(stride, LONGEST_MEAN);
  if (own < 2) throw new InvalidTrainingOptionsError('A forecast needs a window of two samples or more.');
  const newest = Math.max(1, Math.min(stride, Math.floor(own / (wanted + 1))));
  const lags = Math.min(wanted, Math.floor(own / newest) - 1);
  return { shape: { window: own, stride, rateHz, maxGapMs }, newest, lags };
}

interface Fit {
  readonly scale: ChannelScale;
  readonly regression: Autoregression;
  readonly whitening: Whitening;
  /** Per row, from a forecast and a whitening that did not see its block. */
  readonly heldOut: Float64Array;
  readonly normal: readonly boolean[];
}

function fitRobustly(rows: TrainingRows, { newest, lags }: { newest: number; lags: number }, options: VarOptions): Fit {
  const { channels, count, starts } = rows;
  const blocks = blocksOf(count, options.folds);
  let normal: readonly boolean[] = firstNormal(rows, options.maxContamination);
  for (let pass = 1; ; pass += 1) {
    const scale = fitScale(rows, normal);
    refuseStill(scale.inverse);
    const stretches = stretchesOf(rows.windows, scale, newest, lags);
    const size = (lags + 1) * channels;
    const past = blocks.map((block) => momentsOf(stretches, size, block, normal));
    const whole = past.reduce((sum, part) => addMoments(sum, part));
    const regressionOf = (moments: typeof whole): Autoregression =>
      fitAutoregression(moments, channels, lags, options.ridge);
    const errors = new Float64Array(count * channels);
    for (const [k, block] of blocks.entries()) {
      const others = addMoments(whole, past[k]!, -1);
      const regression = regressionOf(others.count >= count / 4 ? others : whole);
      errors.set(forecastErrors(stretches, block, regression), block[0] * channels);
    }

    const smooth = smoothRows(errors, starts, [options.rate]);
    const widening = driftOf(smooth, channels, { use: normal, starts }, options.drift);
    const smallest = smallestScales(smooth, channels, normal);
    const parts = blocks.map((block) => momentsOf(smooth, channels, block, normal));
    const all = parts.reduce((sum, part) => addMoments(sum, part));
    const whitening = fitWhitening(all, widening, smallest, options);
    const heldOut = new Float64Array(count);
    for (const [k, block] of blocks.entries()) {
      const others = addMoments(all, parts[k]!, -1);
      const fair = others.count >= count / 4;
      const known = fair ? fitWhitening(others, widening, smallest, options) : whitening;
      heldOut.set(largestDeviations(smooth, block, known), block[0]);
    }
    const next = bulkOf(heldOut, normal, options.maxContamination);
    if (pass === MOST_PASSES || next.every((flag, n) => flag === normal[n])) {
      return { scale, regression: regressionOf(whole), whitening, heldOut, normal };
    }
    normal = next;
  }
}

/** The last L + 1 rows of each window, scaled and cut off: `[N, (L + 1) × C]`. */
export function stretchesOf(
  { data, count, window, channels }: WindowSet,
  { center, inverse }: ChannelScale,
  newest: number,
  lags: number,
): Float64Array {
  const size = (lags + 1) * channels;
  const stretches = new Float64Array(count * size);
  const skipped = window - (lags + 1) * newest;
  for (let n = 0; n < count; n += 1) {
    for (let t = skipped; t < window; t += 1) {
      const row = Math.floor((t - skipped) / newest);
      for (let c = 0; c < channels; c += 1) {
        const value = (data[(n * window + t) * channels + c]! - center[c]!) * inverse[c]!;
        stretches[n * size + row * channels + c]! += value / newest;
      }
    }
  }
  return stretches.map((value) => Math.min(LARGEST_STEP, Math.max(-LARGEST_STEP, value)));
}

function refuseImpossible(options: VarOptions): void {
  const wrong = [
    [options.lags >= 1 && Number.isInteger(options.lags), 'lags must be a whole number from 1'],
    [options.ridge > 0, 'ridge must be positive'],
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
