/** Windows of a batch: `indices[from]` to `indices[from + count - 1]`. */
export interface BatchSlice {
  readonly indices: Int32Array;
  from: number;
  count: number;
}

/** What training makes small. */
export interface Objective {
  /**
   * The summed loss of a batch.
   *
   * @param outputs `[count, D]`, of the windows in their order
   * @param gradients `[count, D]`, set to those of the batch's mean loss; null where only the loss is asked for
   */
  evaluate(batch: BatchSlice, outputs: Float32Array, gradients: Float32Array | null): number;
}

/** Mean squared difference from targets, `[N, D]`. */
export class SquaredError implements Objective {
  readonly #targets: Float32Array;
  readonly #size: number;

  constructor(targets: Float32Array, size: number) {
    this.#targets = targets;
    this.#size = size;
  }

  evaluate({ indices, from, count }: BatchSlice, outputs: Float32Array, gradients: Float32Array | null): number {
    const size = this.#size;
    const slope = 2 / (size * count);
    let sum = 0;
    for (let n = 0; n < count; n += 1) {
      const target = indices[from + n]! * size;
      for (let i = 0, at = n * size; i < size; i += 1, at += 1) {
        const difference = outputs[at]! - this.#targets[target + i]!;
        sum += difference * difference;
        if (gradients !== null) gradients[at] = slope * difference;
      }
    }
    return sum / size;
  }
}
