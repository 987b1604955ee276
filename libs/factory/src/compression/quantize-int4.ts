import { float32, nodeProto, tensorValues, uint8 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { InvalidTrainingOptionsError, UnsupportedGraphError } from '../errors.ts';
import { GraphEditor } from './graph-editor.ts';
import { quantizeBlocks } from './int4-blocks.ts';
import { matrixSize, weightProducts } from './weight-products.ts';
import type { WeightProduct } from './weight-products.ts';

export interface Int4Options {
  /** Inputs that share a scale: a power of two from 16 to 256. Default 32. */
  readonly blockSize?: number;
}

const MICROSOFT = 'com.microsoft';
/** What comes in is rounded to int8, block by block, and the product computed in integers. */
const INT8_ACCURACY = 4;

/**
 * Turns `MatMul` and `Gemm` with constant weights into `MatMulNBits`: 4-bit weights with a scale and zero point per block
 * of inputs. Its input is quantised row by row inside the operator, so scores do not depend on what else is in a batch.
 * `Conv` stays in float.
 *
 * Source of the layout: "MatMulNBits" in ONNX Runtime's list of contributed operators.
 *
 * @throws UnsupportedGraphError when the graph has nothing to quantise; InvalidTrainingOptionsError for the block size
 */
export function quantizeInt4(model: ValidModel, { blockSize = 32 }: Int4Options = {}): ValidModel {
  if (![16, 32, 64, 128, 256].includes(blockSize)) {
    throw new InvalidTrainingOptionsError(`blockSize must be 16, 32, 64, 128 or 256, not ${blockSize}.`);
  }
  const editor = new GraphEditor(model);
  const products = new Map(
    weightProducts(editor)
      .filter(({ operator }) => operator !== 'Conv')
      .map((product) => [product.node, product]),
  );
  if (products.size === 0) {
    throw new UnsupportedGraphError('The graph has no MatMul or Gemm with constant float32 weights.');
  }
  const made = new Map<string, readonly string[]>();
  for (const node of editor.nodes) {
    const product = products.get(node);
    if (product === undefined) editor.keep(node);
    else addProduct(editor, product, blockSize, made);
  }
  return editor.finish({ [MICROSOFT]: 1 });
}

function addProduct(
  editor: GraphEditor,
  { node, activation, weight, outputAxis, bias }: WeightProduct,
  blockSize: number,
  made: Map<string, readonly string[]>,
): void {
  const [name = ''] = node.output;
  const [inputs, outputs] = matrixSize(weight.dims, outputAxis);
  const key = `${outputAxis} ${weight.name}`;
  let parts = made.get(key);
  if (parts === undefined) made.set(key, (parts = addWeight(editor, weight.name ?? '')));
  const attributes = { K: inputs, N: outputs, bits: 4, block_size: blockSize, accuracy_level: INT8_ACCURACY };
  const product = bias === undefined ? name : editor.unique(`${name}/product`);
  editor.keep(nodeProto('MatMulNBits', [activation, ...parts], [product], attributes, MICROSOFT));
  if (bias !== undefined) editor.keep(nodeProto('Add', [product, bias.name!], [name]));

  function addWeight(to: GraphEditor, weightName: string): readonly string[] {
    const values = tensorValues(weight);
    const at = (input: number, output: number): number =>
      values[outputAxis === 1 ? input * outputs + output : output * inputs + input]!;
    const { packed, scales, zeroPoints, blocks } = quantizeBlocks(at, inputs, outputs, blockSize);
    return [
      to.add(`${weightName}/int4`, uint8(packed, [outputs, blocks, blockSize / 2])),
      to.add(`${weightName}/scales`, float32(scales)),
      to.add(`${weightName}/zero_points`, uint8(zeroPoints)),
    ];
  }
}
