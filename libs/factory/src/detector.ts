import type { PolicySpec } from '@drover/detection';
import type { ValidModel } from '@drover/onnx';
import type { WindowSet } from './window-set.ts';

/** What every family hands to the rest of the factory: a graph by the detector contract, and how to decide on its score. */
export interface TrainedDetector {
  readonly family: string;
  /** fp32. Inputs `window` [N, W, C]; outputs `score` [N, 1] and `contributions` [N, C]. */
  readonly graph: ValidModel;
  readonly policy: PolicySpec;
  /** Scores of training windows that the model that scored them had not seen, ascending. */
  readonly heldOutScores: Float64Array;
  /** The windows that were trained on. */
  readonly trainedOn: WindowSet;
  /** Of these: which the trainer took for normal. */
  readonly normal: readonly boolean[];
  /** Indices of channels that never change in training and so add nothing to the score. */
  readonly constantChannels: readonly number[];
  /** What a person may want to know of the training: counts, hyperparameters. */
  readonly summary: Readonly<Record<string, unknown>>;
}
