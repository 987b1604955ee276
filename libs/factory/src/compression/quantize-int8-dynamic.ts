import { DataType, float32, int8, nodeProto, tensorValues } from '@drover/onnx';
import type { ValidModel, ValueInfoProto } from '@drover/onnx';
import { UnsupportedGraphError } from '../errors.ts';
import { GraphEditor } from './graph-editor.ts';
import { requireOpset } from './require-opset.ts';
import { asColumns, joinBiases, matrixSize, weightProducts } from './weight-products.ts';
import type { WeightProduct } from './weight-products.ts';
import { quantizeWeight } from './weight-quantization.ts';

const LEAST_OPSET = 11;

/**
 * Turns `MatMul` and `Gemm` with constant weights into integer products whose input range is found while they run
 * (DynamicQuantizeLinear, MatMulInteger): no calibration data is needed, and nothing saturates. ONNX Runtime fuses each
 * into one DynamicQuantizeMatMul.
 *
 * - `Conv` stays in float: ConvInteger is slower than the float one on most boards, and ONNX Runtime has none for int8
 *   weights.
 * - The range is that of everything in a batch, so a window's score would depend on the others beside it. The result
 *   therefore takes one window at a time: the batch of its inputs and outputs is 1.
 *
 * @throws UnsupportedGraphError when the graph has nothing to quantise
 */
export function quantizeInt8Dynamic(model: ValidModel): ValidModel {
  requireOpset(model, LEAST_OPSET);
  const editor = new GraphEditor(joinBiases(model));
  const products = new Map(
    weightProducts(editor)
      .filter(({ operator }) => operator !== 'Conv')
      .map((product) => [product.node, product]),
  );
  if (products.size === 0) {
    throw new UnsupportedGraphError('The graph has no MatMul or Gemm with constant float32 weights.');
  }
  for (const node of editor.nodes) {
    const product = products.get(node);
    if (product === undefined) editor.keep(node);
    else addProduct(editor, product);
  }
  return withBatchOfOne(editor.finish());
}

function addProduct(editor: GraphEditor, { node, activation, weight, outputAxis, bias }: WeightProduct): void {
  const [name = ''] = node.output;
  const [rows, columns] = matrixSize(weight.dims, outputAxis);
  const values = asColumns(tensorValues(weight), rows, columns, outputAxis);
  const quantized = quantizeWeight(values, columns, (index) => index % columns);
  const x = ['quantized', 'scale', 'zero_point'].map((part) => editor.unique(`${name}/${part}`));
  editor.keep(nodeProto('DynamicQuantizeLinear', [activation], x));
  const w = editor.add(`${name}/int8`, int8(quantized.values, [rows, columns]));
  const zeros = editor.add(`${name}/zero_points`, int8(new Int8Array(columns)));
  const sums = editor.node('MatMulInteger', [x[0]!, w, x[2]!, zeros], `${name}/sums`);
  const scales = editor.node(
    'Mul',
    [x[1]!, editor.add(`${name}/scales`, float32(quantized.scales))],
    `${name}/product_scales`,
  );
  const real = editor.node('Cast', [sums], `${name}/cast`, { to: DataType.FLOAT });
  if (bias === undefined) {
    editor.keep(nodeProto('Mul', [real, scales], [name]));
    return;
  }
  const scaled = editor.node('Mul', [real, scales], `${name}/product`);
  editor.keep(nodeProto('Add', [scaled, bias.name!], [name]));
}

function withBatchOfOne(model: ValidModel): ValidModel {
  const { graph } = model;
  const batch = graph.input.find(({ name }) => name === 'window')?.type?.tensorType?.shape?.dim[0]?.dimParam;
  if (batch === undefined) return model;
  const fixed = (info: ValueInfoProto): ValueInfoProto => {
    const { tensorType } = info.type ?? {};
    if (tensorType?.shape === undefined) return info;
    const dim = tensorType.shape.dim.map((size) => (size.dimParam === batch ? { dimValue: 1 } : size));
    return { ...info, type: { ...info.type, tensorType: { ...tensorType, shape: { dim } } } };
  };
  return { ...model, graph: { ...graph, input: graph.input.map(fixed), output: graph.output.map(fixed) } };
}
