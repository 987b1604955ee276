import { DataType, floatAttribute, inferShapes, intAttribute, isStandard, nodeProto, sizeOf } from '@drover/onnx';
import type { InferredValue, NodeProto, TensorProto, ValidModel } from '@drover/onnx';
import { GraphEditor, readersOf } from './graph-editor.ts';

/** A node that multiplies what comes in by constant float32 weights: where a network's size and work are. */
export interface WeightProduct {
  readonly node: NodeProto;
  readonly operator: 'MatMul' | 'Gemm' | 'Conv';
  /** Name of what comes in. */
  readonly activation: string;
  readonly weight: TensorProto;
  /** Of the weight's axes, the one that counts outputs. */
  readonly outputAxis: number;
  /** `[outputs]`, where there is one. */
  readonly bias: TensorProto | undefined;
}

/** The products of a graph. Gemms that scale, transpose what comes in or add something else than a vector are left out. */
export function weightProducts(editor: GraphEditor): WeightProduct[] {
  return editor.nodes.flatMap((node) => {
    const operator = node.opType;
    if (!isStandard(node) || (operator !== 'MatMul' && operator !== 'Gemm' && operator !== 'Conv')) return [];
    const [activation = '', weightName, biasName = ''] = node.input;
    const weight = editor.constant(weightName);
    const bias = editor.constant(biasName);
    const fits = weight?.dataType === DataType.FLOAT && editor.constant(activation) === undefined;
    if (!fits || (biasName !== '' && bias?.dataType !== DataType.FLOAT)) return [];
    const outputAxis = outputAxisOf(node, weight);
    if (outputAxis === undefined || (bias !== undefined && !isVector(bias, weight.dims[outputAxis]!))) return [];
    return [{ node, operator, activation, weight, outputAxis, bias }];
  });
}

/** Inputs and outputs of a matrix, whichever axis comes first. */
export function matrixSize(dims: readonly number[], outputAxis: number): readonly [inputs: number, outputs: number] {
  return outputAxis === 1 ? [dims[0]!, dims[1]!] : [dims[1]!, dims[0]!];
}

/** `[inputs, outputs]`, row-major. */
export function asColumns(values: Float64Array, rows: number, columns: number, outputAxis: number): Float64Array {
  if (outputAxis === 1) return values;
  return values.map((_, index) => values[(index % columns) * rows + Math.floor(index / columns)]!);
}

function outputAxisOf(node: NodeProto, { dims }: TensorProto): number | undefined {
  if (node.opType === 'Conv') return dims.length >= 3 ? 0 : undefined;
  if (dims.length !== 2) return undefined;
  if (node.opType === 'MatMul') return 1;
  const plain = floatAttribute(node, 'alpha', 1) === 1 && floatAttribute(node, 'beta', 1) === 1;
  if (!plain || intAttribute(node, 'transA', 0) !== 0) return undefined;
  return intAttribute(node, 'transB', 0) === 1 ? 0 : 1;
}

function isVector({ dims }: TensorProto, length: number): boolean {
  return dims.at(-1) === length && sizeOf(dims) === length;
}

/**
 * Writes `MatMul` and the addition of a vector after it as one `Gemm`, where what comes in has two axes: quantised, the
 * pair becomes one integer product with its bias, and apart it does not.
 */
export function joinBiases(model: ValidModel): ValidModel {
  const editor = new GraphEditor(model);
  const shapes = inferShapes(model.graph);
  const readers = readersOf(model.graph, editor.nodes);
  const products = new Map(
    weightProducts(editor)
      .filter(({ operator, activation }) => operator === 'MatMul' && shapes.get(activation)?.dims.length === 2)
      .map((product) => [product.node.output[0]!, product]),
  );
  const joined = new Map<NodeProto, { product: WeightProduct; bias: string }>();
  for (const node of editor.nodes) {
    if (node.opType !== 'Add' || !isStandard(node)) continue;
    for (const [sum = '', bias = ''] of [node.input, node.input.toReversed()]) {
      const product = readers.get(sum) === 1 ? products.get(sum) : undefined;
      const tensor = editor.constant(bias);
      const fits = product && tensor?.dataType === DataType.FLOAT && isVector(tensor, product.weight.dims[1]!);
      if (fits && addsToColumns(tensor, shapes.get(sum))) joined.set(node, { product, bias });
    }
  }
  const replaced = new Set([...joined.values()].map(({ product }) => product.node));
  for (const node of editor.nodes) {
    const pair = joined.get(node);
    if (pair !== undefined) {
      const { product, bias } = pair;
      editor.keep(nodeProto('Gemm', [product.activation, product.node.input[1]!, bias], node.output));
    } else if (!replaced.has(node)) editor.keep(node);
  }
  return editor.finish();
}

/** A vector of more than two axes would change the shape of the sum. */
function addsToColumns({ dims }: TensorProto, sum: InferredValue | undefined): boolean {
  return dims.length <= (sum?.dims.length ?? 0);
}
