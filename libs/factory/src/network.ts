import type { Normaliser } from './pca/pca-model.ts';

export type Activation = 'linear' | 'relu';

export interface DenseLayer {
  readonly kind: 'dense';
  readonly inputs: number;
  readonly outputs: number;
  readonly activation: Activation;
  /** `[inputs, outputs]`, row by row. What comes out of a convolution goes in time by time, `[length, channels]`. */
  readonly weights: Float32Array;
  /** `[outputs]` */
  readonly bias: Float32Array;
}

/** A convolution over time without padding. */
export interface Conv1dLayer {
  readonly kind: 'conv1d';
  readonly inputs: number;
  readonly outputs: number;
  /** Taps. */
  readonly kernel: number;
  readonly stride: number;
  readonly activation: Activation;
  /** `[outputs, inputs, kernel]`, as ONNX's Conv has them. */
  readonly weights: Float32Array;
  /** `[outputs]` */
  readonly bias: Float32Array;
}

/** One layer of a feed-forward network. */
export type Layer = DenseLayer | Conv1dLayer;

/** A trained network, from a normalised window to its reconstruction, both `[W × C]`, time by time. */
export interface Network {
  readonly layers: readonly Layer[];
  /** How raw windows become what the first layer reads. */
  readonly normaliser: Normaliser;
  /**
   * The same layers trained without one block of time each, in their order: `folds[k]` has not seen the k-th of as many
   * equal parts of the windows trained on. What is made of the network is made of these too, so that its scores on data
   * that it has not seen are known.
   */
  readonly folds: readonly (readonly Layer[])[];
  readonly training: NetworkTraining;
}

/** How a network was trained: what continues or copies it goes on the same way. */
export interface NetworkTraining {
  readonly epochs: number;
  readonly learningRate: number;
  /** Windows per step. */
  readonly batch: number;
  readonly patience: number;
  /** Quantile of the held-out scores that is a score of 1. */
  readonly unitQuantile: number;
}
