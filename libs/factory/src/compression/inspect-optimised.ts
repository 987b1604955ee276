import { allNodes, operatorCounts } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { optimisedGraph } from '../detector-session.ts';

export interface OptimisedGraphReport {
  /** Operators that ONNX Runtime runs after its optimisations on this machine's CPU, and how often. */
  readonly operators: Readonly<Record<string, number>>;
  /** Outputs of DequantizeLinear nodes that were not fused: each one means that a product runs in float after all. */
  readonly leftoverDequantize: readonly string[];
  /** Outputs of Cast nodes, which a detector should not need. */
  readonly casts: readonly string[];
}

/** Looks at what ONNX Runtime makes of a model. */
export async function inspectOptimised(model: ValidModel): Promise<OptimisedGraphReport> {
  const optimised = await optimisedGraph(model);
  const outputsOf = (opType: string): string[] =>
    allNodes(optimised)
      .filter((node) => node.opType === opType)
      .map((node) => node.output[0] ?? '');
  return {
    operators: Object.fromEntries(operatorCounts(optimised)),
    leftoverDequantize: outputsOf('DequantizeLinear'),
    casts: outputsOf('Cast'),
  };
}
