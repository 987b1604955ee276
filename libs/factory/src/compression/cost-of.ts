import type { ValidModel } from '@drover/onnx';
import { factsOf } from './graph-facts.ts';
import { multiplyAccumulatesOf } from './multiply-accumulates.ts';
import { parametersOf } from './parameters-of.ts';
import { peakMemoryOf } from './peak-memory.ts';

/** What running a model takes. */
export interface Cost {
  /** Weights, whatever they are stored in; scales, zero points and shapes are none. */
  readonly parameters: number;
  /** Multiplications with addition for one window: matrix products, convolutions, recurrent layers. */
  readonly multiplyAccumulates: number;
  /** Weights as they are in memory, and the largest set of values that are needed at one time, for one window. */
  readonly peakMemoryBytes: number;
}

/**
 * Counts what a model costs, without running it. Where a shape cannot be told (an operator or function that is not known, a size
 * that depends on data), the estimate is on the high side: a value as large as all that goes into the node, a multiplication per
 * weight and row. Never fails.
 *
 * @param shape of one window: samples and channels
 */
export function costOf(model: ValidModel, shape: { readonly window: number; readonly channels: number }): Cost {
  const facts = factsOf(model.graph, { window: [1, shape.window, shape.channels] });
  return {
    parameters: whole(parametersOf(facts)),
    multiplyAccumulates: whole(multiplyAccumulatesOf(facts)),
    peakMemoryBytes: whole(peakMemoryOf(facts)),
  };
}

/** Absurd sizes stay numbers that JSON can hold. */
function whole(value: number): number {
  return Number.isNaN(value) ? Number.MAX_SAFE_INTEGER : Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(value));
}
