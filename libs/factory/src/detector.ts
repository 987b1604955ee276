import type { PolicySpec } from '@drover/detection';
import type { ValidModel } from '@drover/onnx';
import type { Network } from './network.ts';
import type { Recording, WindowSet, WindowShape } from './window-set.ts';

/** What a family is trained on: normal operation, but for a small share that may be anything. */
export interface TrainingData {
  /** Cut to the rows that may be trained on; labels, where there are any, were taken off. All have the same channels. */
  readonly recordings: readonly Recording[];
  /** W, where one was asked for; a family has its own opinion otherwise. */
  readonly window?: number;
  readonly stride: number;
  readonly rateHz: number;
  readonly maxGapMs: number;
}

export interface TrainingContext {
  /** The same data and seed give the same detector on the same machine. */
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  /** @param fraction of the training that is done, 0 to 1 @param loss of the last epoch, where there is one */
  readonly onProgress?: ((fraction: number, loss?: number) => void) | undefined;
}

/** A model family: one way to learn what is normal. */
export interface Family<Options extends object = object> {
  readonly name: string;
  /** One line for a person who chooses. */
  readonly summary: string;
  /** Every hyperparameter and its default; undefined where that depends on the data. */
  readonly defaults: { readonly [Name in keyof Required<Options>]: Options[Name] | undefined };
  /**
   * @throws NotEnoughDataError, UnusableDataError, InvalidTrainingOptionsError for data and options that cannot work; the
   *   signal's reason when aborted
   */
  train(
    data: TrainingData,
    options: Partial<Options>,
    context: TrainingContext,
  ): Promise<TrainedDetector> | TrainedDetector;
}

/** What every family hands to the rest of the factory: a graph by the detector contract, and how to decide on its score. */
export interface TrainedDetector {
  readonly family: string;
  /** fp32. Inputs `window` [N, W, C] and `state.*`; outputs `score` [N, S], `contributions` [N, C] and `state.*.next`. */
  readonly graph: ValidModel;
  readonly shape: WindowShape;
  readonly policy: PolicySpec;
  /** Windows after a start whose scores are not acted on. */
  readonly warmup: number;
  /** When state starts from zeros again; of no meaning without state. */
  readonly stateReset: 'never' | 'gap';
  /** The windows that were trained on, in the order of time: what calibrations run on. */
  readonly trainedOn: WindowSet;
  /** Of these: which the trainer took for normal. */
  readonly normal: readonly boolean[];
  /** Indices of channels that never change in training and so add nothing to the score. */
  readonly constantChannels: readonly number[];
  /** What a person may want to know of the training: counts, hyperparameters. */
  readonly summary: Readonly<Record<string, unknown>>;
  /** The trained network, where there is one: what pruning and distillation start from. */
  readonly network?: Network;
}
