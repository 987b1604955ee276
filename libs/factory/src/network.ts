/** One layer of a feed-forward network. Weights are row-major. */
export type Layer =
  | {
      readonly kind: 'dense';
      readonly inputs: number;
      readonly outputs: number;
      /** `[inputs, outputs]` */
      readonly weights: Float32Array;
      /** `[outputs]` */
      readonly bias: Float32Array;
      readonly activation: Activation;
    }
  | {
      readonly kind: 'conv1d';
      readonly inputs: number;
      readonly outputs: number;
      /** Taps. */
      readonly kernel: number;
      /** `[outputs, inputs, kernel]`, as ONNX's Conv has them. */
      readonly weights: Float32Array;
      /** `[outputs]` */
      readonly bias: Float32Array;
      readonly stride: number;
      readonly activation: Activation;
    };

export type Activation = 'linear' | 'relu';

/** A trained network, from a normalised window to its reconstruction or forecast. */
export interface Network {
  readonly layers: readonly Layer[];
}
