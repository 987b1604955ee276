import { InvalidTrainingOptionsError } from '../errors.ts';

/** What all neural families have in common. */
export interface NeuralOptions {
  /** Passes over the windows, at most. */
  readonly epochs: number;
  /** Of Adam, at the start. */
  readonly learningRate: number;
  /** Windows per step. */
  readonly batch: number;
  /** Epochs without a better validation loss before training stops. */
  readonly patience: number;
  /** Blocks of time for cross-validation. */
  readonly folds: number;
  /** Deviations at which a value is cut off. */
  readonly limit: number;
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
 * On the middle of what was tried on sixteen recordings of a real rig: margins 1.3 to 1.6 gave F1 0.81 to 0.84 with false-alarm
 * rates of 0.21 to 0.09, and with this one under 0.30 of drifting but healthy recordings were flagged.
 */
export const DEFAULT_NEURAL_OPTIONS: NeuralOptions = {
  epochs: 40,
  learningRate: 3e-3,
  batch: 32,
  patience: 10,
  folds: 4,
  limit: 6,
  unitQuantile: 0.95,
  margin: 1.5,
  releaseRatio: 0.75,
  minLength: 3,
  maxContamination: 0.2,
  maxWindows: 2_000,
};

export const FEWEST_WINDOWS = 64;
const LARGEST_LAYER = 8_192;

/** @throws InvalidTrainingOptionsError */
export function refuseImpossibleOptions(
  options: NeuralOptions,
  layers: Readonly<Record<string, readonly number[]>>,
): void {
  const wrong: (readonly [boolean, string])[] = [
    [whole(options.epochs, 1, 10_000), 'epochs must be a whole number from 1 to 10,000'],
    [within(options.learningRate, Number.MIN_VALUE, 1), 'learningRate must be over 0, up to 1'],
    [whole(options.batch, 1, 4_096), 'batch must be a whole number from 1 to 4,096'],
    [whole(options.patience, 1, 10_000), 'patience must be a whole number from 1'],
    [whole(options.folds, 2, 16), 'folds must be a whole number from 2 to 16'],
    [within(options.limit, Number.MIN_VALUE, 1e6), 'limit must be positive'],
    [within(options.unitQuantile, Number.MIN_VALUE, 1), 'unitQuantile must be over 0, up to 1'],
    [within(options.margin, Number.MIN_VALUE, 1e6), 'margin must be positive'],
    [within(options.maxContamination, 0, 0.49), 'maxContamination must be from 0 to 0.49'],
    [whole(options.maxWindows, FEWEST_WINDOWS, 1e6), `maxWindows must be a whole number from ${FEWEST_WINDOWS}`],
    ...Object.entries(layers).map(
      ([name, sizes]) =>
        [
          Array.isArray(sizes) && sizes.length > 0 && sizes.every((size) => whole(size, 1, LARGEST_LAYER)),
          `${name} must be a list of whole numbers from 1 to ${LARGEST_LAYER}`,
        ] as const,
    ),
  ];
  const problem = wrong.find(([fine]) => !fine);
  if (problem) throw new InvalidTrainingOptionsError(`${problem[1]}.`);
}

/** Options may come from anywhere: what is no number is not within anything. */
function within(value: unknown, from: number, to: number): boolean {
  return typeof value === 'number' && value >= from && value <= to;
}

function whole(value: unknown, from: number, to: number): boolean {
  return Number.isInteger(value) && within(value, from, to);
}
