import { allNodes, operatorCounts } from '@drover/onnx';
import type { NodeProto, ValidModel } from '@drover/onnx';
import { optimisedGraph } from '../detector-session.ts';

export interface OptimisedGraphReport {
  /** Operators that ONNX Runtime runs after its optimisations on this machine's CPU, and how often. */
  readonly operators: Readonly<Record<string, number>>;
  /** Outputs of DequantizeLinear nodes that were not fused: each one means that a product runs in float after all. */
  readonly leftoverDequantize: readonly string[];
  /** Outputs of Cast nodes that the model it was made from does not have: each one costs time and was not meant to be. */
  readonly casts: readonly string[];
}

/** Operators that compute in integers and give integers. */
const INTEGER = new Set(['QLinearConv', 'QLinearMatMul', 'QGemm', 'QLinearAdd', 'QLinearAveragePool', 'QLinearConcat']);
/** Operators that only move elements. */
const MOVERS = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose', 'Identity', 'MaxPool', 'Slice']);
const PRODUCTS = new Set(['MatMul', 'Gemm', 'FusedGemm', 'Conv', 'FusedConv']);

/**
 * Looks at what ONNX Runtime makes of a model.
 *
 * Where float goes on after a chain of integer convolutions, one DequantizeLinear is as it should be: it is not reported,
 * unless a product in float comes right after it.
 *
 * @param source the model that this one was made from, whose own casts are not reported
 */
export async function inspectOptimised(model: ValidModel, source?: ValidModel): Promise<OptimisedGraphReport> {
  const optimised = await optimisedGraph(model);
  const nodes = allNodes(optimised);
  const original = new Set(source === undefined ? [] : castsOf(source));
  return {
    operators: Object.fromEntries(operatorCounts(optimised)),
    leftoverDequantize: leftoverOf(nodes),
    casts: castsOf(optimised).filter((name) => !original.has(name)),
  };
}

function castsOf(model: ValidModel): string[] {
  return allNodes(model)
    .filter(({ opType }) => opType === 'Cast')
    .map(({ output }) => output[0] ?? '');
}

function leftoverOf(nodes: readonly NodeProto[]): string[] {
  const producers = new Map(nodes.flatMap((node) => node.output.map((name) => [name, node] as const)));
  const comesFromIntegers = (name: string): boolean => {
    let producer = producers.get(name);
    while (producer !== undefined && MOVERS.has(producer.opType ?? ''))
      producer = producers.get(producer.input[0] ?? '');
    return INTEGER.has(producer?.opType ?? '');
  };
  const factors = new Set(nodes.filter(({ opType = '' }) => PRODUCTS.has(opType)).flatMap(({ input }) => input));
  return nodes
    .filter(({ opType }) => opType === 'DequantizeLinear')
    .filter(({ input, output }) => factors.has(output[0] ?? '') || !comesFromIntegers(input[0] ?? ''))
    .map(({ output }) => output[0] ?? '');
}
