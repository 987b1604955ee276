import type { Family, TrainedDetector } from '../detector.ts';
import { InvalidTrainingOptionsError, NotEnoughDataError, UnusableDataError } from '../errors.ts';
import { bulkOf } from '../held-out.ts';
import { quantile } from '../quantile.ts';
import { channelsOf, thinned, windowsOf } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';
import { buildPcaGraph } from './pca-graph.ts';
import { heldOutIndex } from './held-out-index.ts';
import { addScatter, fitComponents, fitNormaliser, normalise } from './pca-model.ts';
import type { Normaliser, PrincipalComponents } from './pca-model.ts';

export interface PcaOptions {
  /** Share of the variance that the components explain, in (0, 1). */
  readonly explainedVariance: number;
  /** Deviations at which a value is cut off. */
  readonly limit: number;
  /** Blocks of time for cross-validation. */
  readonly folds: number;
  /** Quantile of the held-out scores that becomes a score of 1. Under the maximum, because the training data may not be clean. */
  readonly unitQuantile: number;
  /** Alarm threshold, in units of that quantile. */
  readonly margin: number;
  readonly releaseRatio: number;
  readonly minLength: number;
  /** Largest share of windows that may be set aside as abnormal. */
  readonly maxContamination: number;
  /** More windows than this are thinned out evenly before training; bounds time and memory. */
  readonly maxWindows: number;
}

/**
 * Chosen on sixteen labelled recordings of one real rig: explained variance 0.9 to 0.95, margin 1.3 to 1.45 and release ratio 0.7
 * to 0.8, changed one at a time, gave F1 0.835 to 0.845 with false-alarm rates of 0.06 to 0.12. A margin of 1.5 gave 0.83 at 0.05.
 */
export const DEFAULT_PCA_OPTIONS: PcaOptions = {
  explainedVariance: 0.95,
  limit: 6,
  folds: 8,
  unitQuantile: 0.95,
  margin: 1.4,
  releaseRatio: 0.75,
  minLength: 3,
  maxContamination: 0.2,
  maxWindows: 4_000,
};

/** W × C at most: the covariance has its square, its eigenvectors take its cube. */
export const MAX_PCA_DIMENSIONS = 512;
const FEWEST_WINDOWS = 64;
const MOST_PASSES = 4;

/** W × C where nothing else is asked for: more takes seconds and finds little more. */
const USUAL_DIMENSIONS = 256;

/** The largest window, up to `wanted` samples, that principal components of so many channels can be trained on. */
export function largestPcaWindow(channels: number, wanted = 16): number {
  return Math.max(1, Math.min(wanted, Math.floor(MAX_PCA_DIMENSIONS / channels)));
}

function usualWindow(channels: number): number {
  return largestPcaWindow(channels, Math.min(16, Math.max(1, Math.floor(USUAL_DIMENSIONS / channels))));
}

/** What windows of training data are trained to, before it is known how they were cut. */
export type TrainedPca = Omit<TrainedDetector, 'shape'> & {
  /** Scores of normal windows by models that had not seen them, ascending. */
  readonly heldOutScores: Float64Array;
};

/** Windowed principal components: T² and Q in one index. */
export const pca: Family<PcaOptions> = {
  name: 'pca',
  summary: 'principal components of windows (T² and Q): small, fast, good where channels move together',
  defaults: DEFAULT_PCA_OPTIONS,
  train({ recordings, window, stride, rateHz, maxGapMs }, options) {
    const channels = channelsOf(recordings).length;
    const shape = { window: window ?? usualWindow(channels), stride, rateHz, maxGapMs };
    const { maxWindows } = { ...DEFAULT_PCA_OPTIONS, ...options };
    const { heldOutScores: _, ...trained } = trainPca(windowsOf(recordings, shape, undefined, maxWindows), options);
    return { ...trained, shape };
  },
};

/**
 * Trains windowed principal components. Deterministic.
 *
 * The scale of the score comes from cross-validation over blocks of time: each block is scored by the variances of the others
 * (without the windows that overlap it), so slow drift between blocks widens the limits by itself. The same scores show
 * contamination: windows far above the others are set aside and the rest fitted again.
 *
 * @param windows normal operation, in the order of time
 * @throws NotEnoughDataError under 64 windows; UnusableDataError when no channel varies; InvalidTrainingOptionsError
 */
export function trainPca(windows: WindowSet, partial: Partial<PcaOptions> = {}): TrainedPca {
  const options = { ...DEFAULT_PCA_OPTIONS, ...partial };
  refuseImpossible(windows, options);
  const set = thinned(windows, options.maxWindows);
  const fit = fitRobustly(set, options);
  const held = Float64Array.from(fit.heldOut.filter((_, n) => fit.normal[n]));
  const unit = Math.max(quantile(held, options.unitQuantile), Number.MIN_VALUE);
  return {
    family: 'pca',
    graph: buildPcaGraph(fit.normaliser, fit.pca, set, unit),
    policy: {
      kind: 'threshold',
      threshold: options.margin,
      releaseRatio: options.releaseRatio,
      minLength: options.minLength,
    },
    warmup: 0,
    stateReset: 'gap',
    heldOutScores: held.map((score) => score / unit).toSorted(),
    trainedOn: set,
    normal: fit.normal,
    constantChannels: [...fit.normaliser.inverseDeviation.keys()].filter(
      (c) => fit.normaliser.inverseDeviation[c] === 0,
    ),
    summary: {
      windows: set.count,
      setAside: fit.normal.filter((normal) => !normal).length,
      components: fit.pca.variances.length,
      dimensions: fit.pca.dimensions,
      options,
    },
  };
}

interface RobustFit {
  readonly normaliser: Normaliser;
  readonly pca: PrincipalComponents;
  /** Per window, from a model that did not see it. */
  readonly heldOut: Float64Array;
  readonly normal: readonly boolean[];
}

function fitRobustly(set: WindowSet, options: PcaOptions): RobustFit {
  const dimensions = set.window * set.channels;
  let normal: readonly boolean[] = Array.from({ length: set.count }, () => true);
  for (let pass = 1; ; pass += 1) {
    const normaliser = fitNormaliser(set, normal, options.limit);
    if (normaliser.inverseDeviation.every((inverse) => inverse === 0)) {
      throw new UnusableDataError('No channel of the training data ever changes.');
    }
    const z = normalise(set, normaliser);
    const scatter = new Float64Array(dimensions * dimensions);
    const count = addScatter(z, dimensions, [0, set.count], normal, scatter);
    const { pca: components, basis } = fitComponents(scatter, count, dimensions, options.explainedVariance);
    const heldOut = heldOutIndex(z, set, normal, components, basis, options.folds);
    const next = bulkOf(heldOut, normal, options.maxContamination);
    if (pass === MOST_PASSES || next.every((flag, n) => flag === normal[n]))
      return { normaliser, pca: components, heldOut, normal };
    normal = next;
  }
}

function refuseImpossible(windows: WindowSet, options: PcaOptions): void {
  const { window, channels, count } = windows;
  if (window * channels > MAX_PCA_DIMENSIONS) {
    throw new InvalidTrainingOptionsError(
      `${window} samples × ${channels} channels are ${window * channels} dimensions, at most ${MAX_PCA_DIMENSIONS} can be ` +
        `trained: use a window of ${largestPcaWindow(channels, window)} or fewer channels.`,
    );
  }
  // Enough that every fold keeps others that do not overlap it.
  const needed = Math.max(FEWEST_WINDOWS, 4 * windows.overlap);
  if (count < needed) {
    throw new NotEnoughDataError(
      `${count} whole windows of ${window} samples; at least ${needed} are needed. Are there gaps or missing values?`,
    );
  }
  const wrong = [
    [options.explainedVariance > 0 && options.explainedVariance < 1, 'explainedVariance must be between 0 and 1'],
    [options.folds >= 2 && Number.isInteger(options.folds), 'folds must be a whole number from 2'],
    [options.limit > 0, 'limit must be positive'],
    [options.margin > 0, 'margin must be positive'],
    [options.maxContamination >= 0 && options.maxContamination < 0.5, 'maxContamination must be from 0 to 0.5'],
    [options.maxWindows >= FEWEST_WINDOWS, `maxWindows must be at least ${FEWEST_WINDOWS}`],
  ] as const;
  const problem = wrong.find(([fine]) => !fine);
  if (problem) throw new InvalidTrainingOptionsError(`${problem[1]}.`);
}
