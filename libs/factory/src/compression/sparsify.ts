import { float32, tensorValues } from '@drover/onnx';
import type { TensorProto, ValidModel } from '@drover/onnx';
import { InvalidTrainingOptionsError, UnsupportedGraphError } from '../errors.ts';
import { GraphEditor } from './graph-editor.ts';
import { weightProducts } from './weight-products.ts';

/**
 * Sets the smallest weights of each layer to zero ("magnitude pruning": S. Han et al., "Learning both Weights and
 * Connections for Efficient Neural Networks", 2015, without the training afterwards). The graph stays the same and runs as
 * fast as before; what gets smaller is the file on its way, see `encodeArtifact`.
 *
 * @param share of the weights of each layer that become zero, over 0 and under 1
 * @throws UnsupportedGraphError when no layer has constant weights; InvalidTrainingOptionsError for the share
 */
export function sparsify(model: ValidModel, share: number): ValidModel {
  if (!(share > 0 && share < 1)) {
    throw new InvalidTrainingOptionsError(`The share of weights to set to zero must be between 0 and 1, not ${share}.`);
  }
  const editor = new GraphEditor(model);
  const weights = new Map(weightProducts(editor).map(({ weight }) => [weight.name ?? '', weight]));
  if (weights.size === 0) {
    throw new UnsupportedGraphError('The graph has no MatMul, Gemm or Conv with constant float32 weights.');
  }
  const sparse = new Map<string, string>();
  for (const [name, weight] of weights) sparse.set(name, editor.add(`${name}/sparse`, withoutSmallest(weight, share)));
  for (const node of editor.nodes) {
    editor.keep({ ...node, input: node.input.map((name) => sparse.get(name) ?? name) });
  }
  return editor.finish();
}

function withoutSmallest(weight: TensorProto, share: number): TensorProto {
  const values = Float32Array.from(tensorValues(weight));
  const order = Array.from(values.keys()).toSorted((a, b) => Math.abs(values[a]!) - Math.abs(values[b]!));
  for (const index of order.slice(0, Math.floor(share * values.length))) values[index] = 0;
  return float32(values, weight.dims);
}
