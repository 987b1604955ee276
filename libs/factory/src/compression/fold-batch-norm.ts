import { DataType, float32, floatAttribute, intAttribute, isStandard, tensorValues } from '@drover/onnx';
import type { NodeProto, ValidModel } from '@drover/onnx';
import { GraphEditor, readersOf } from './graph-editor.ts';
import { weightProducts } from './weight-products.ts';
import type { WeightProduct } from './weight-products.ts';

/**
 * Writes a `BatchNormalization` after a convolution or dense layer into the weights of that layer. ONNX Runtime does so in
 * float32; with quantised weights it does not, and would go back to float for it.
 */
export function foldBatchNorm(model: ValidModel): ValidModel {
  const editor = new GraphEditor(model);
  const readers = readersOf(model.graph, editor.nodes);
  const products = new Map(
    weightProducts(editor)
      .filter(({ operator, node }) => operator !== 'MatMul' && readers.get(node.output[0]!) === 1)
      .map((product) => [product.node.output[0]!, product]),
  );
  const folded = new Map<NodeProto, WeightProduct>();
  for (const node of editor.nodes) {
    const product = products.get(node.input[0] ?? '');
    if (product !== undefined && isFixed(node, editor)) folded.set(node, product);
  }
  if (folded.size === 0) return model;
  const replaced = new Set([...folded.values()].map(({ node }) => node));
  for (const node of editor.nodes) {
    const product = folded.get(node);
    if (product !== undefined) editor.keep(joined(editor, product, node));
    else if (!replaced.has(node)) editor.keep(node);
  }
  return editor.finish();
}

/** Whether a node is a normalisation with constants, as after training. */
function isFixed(node: NodeProto, editor: GraphEditor): boolean {
  return (
    node.opType === 'BatchNormalization' &&
    isStandard(node) &&
    intAttribute(node, 'training_mode', 0) === 0 &&
    node.output.length === 1 &&
    node.input.slice(1, 5).every((name) => editor.constant(name)?.dataType === DataType.FLOAT)
  );
}

function joined(editor: GraphEditor, product: WeightProduct, norm: NodeProto): NodeProto {
  const { node, weight, outputAxis, bias } = product;
  const [scale, shift, mean, variance] = norm.input.slice(1, 5).map((name) => tensorValues(editor.constant(name)!));
  const epsilon = floatAttribute(norm, 'epsilon', 1e-5);
  const factors = scale!.map((value, channel) => value / Math.sqrt(variance![channel]! + epsilon));
  const inner = weight.dims.slice(outputAxis + 1).reduce((size, dim) => size * dim, 1);
  const weights = tensorValues(weight).map((value, i) => value * factors[Math.floor(i / inner) % factors.length]!);
  const before = bias === undefined ? new Float64Array(factors.length) : tensorValues(bias);
  const biases = factors.map((factor, channel) => (before[channel]! - mean![channel]!) * factor + shift![channel]!);
  const [name = ''] = norm.output;
  const input = [
    node.input[0]!,
    editor.add(`${name}/folded`, float32(weights, weight.dims)),
    editor.add(`${name}/folded_bias`, float32(biases)),
  ];
  return { ...node, input, output: [name] };
}
