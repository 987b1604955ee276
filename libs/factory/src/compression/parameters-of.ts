import { DataType, elementCount, intAttribute, tensorAttribute } from '@drover/onnx';
import type { NodeProto } from '@drover/onnx';
import type { GraphFacts } from './graph-facts.ts';

/** Of operators with scales and zero points: which inputs are these. */
const QUANTISATION_INPUTS: Readonly<Record<string, readonly number[]>> = {
  QuantizeLinear: [1, 2],
  DequantizeLinear: [1, 2],
  MatMulInteger: [2, 3],
  ConvInteger: [2, 3],
  MatMulNBits: [2, 3],
  QLinearMatMul: [1, 2, 4, 5, 6, 7],
  QLinearConv: [1, 2, 4, 5, 6, 7],
};
const NUMBERS: ReadonlySet<number> = new Set([
  DataType.FLOAT,
  DataType.DOUBLE,
  DataType.FLOAT16,
  DataType.BFLOAT16,
  DataType.INT8,
  DataType.UINT8,
  DataType.INT32,
  DataType.INT4,
  DataType.UINT4,
]);

/** Elements of the weights, biases and other real constants. */
export function parametersOf({ graph }: GraphFacts): number {
  const auxiliary = new Set<string>();
  const packed = new Map<string, number>();
  for (const node of graph.node) {
    for (const index of auxiliaryInputs(node)) auxiliary.add(node.input[index] ?? '');
    if (node.opType === 'MatMulNBits') {
      packed.set(node.input[1] ?? '', intAttribute(node, 'K', 0) * intAttribute(node, 'N', 0));
    }
  }
  let count = 0;
  for (const { name = '', dataType = 0, dims } of graph.initializer) {
    if (NUMBERS.has(dataType) && !auxiliary.has(name)) count += packed.get(name) ?? elementCount(dims);
  }
  // Some exporters write weights as nodes.
  for (const node of graph.node) {
    const tensor = node.opType === 'Constant' ? tensorAttribute(node, 'value') : undefined;
    if (tensor !== undefined && NUMBERS.has(tensor.dataType ?? 0)) count += elementCount(tensor.dims);
  }
  for (const { values } of graph.sparseInitializer) if (values !== undefined) count += elementCount(values.dims);
  return count;
}

function auxiliaryInputs({ opType = '' }: NodeProto): readonly number[] {
  return Object.hasOwn(QUANTISATION_INPUTS, opType) ? QUANTISATION_INPUTS[opType]! : [];
}
