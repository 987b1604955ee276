import { float32, tensorValues } from '@drover/onnx';
import type { NodeProto, TensorProto, ValidModel } from '@drover/onnx';
import { InvalidTrainingOptionsError, UnsupportedGraphError } from '../errors.ts';
import type { WindowSet } from '../window-set.ts';
import { observe } from './calibrate.ts';
import { GraphEditor } from './graph-editor.ts';
import { refitWeights } from './refit-weights.ts';
import type { Refit, SparseLayer } from './refit-weights.ts';
import { asColumns, joinBiases, matrixSize, weightProducts } from './weight-products.ts';
import type { WeightProduct } from './weight-products.ts';

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

/**
 * The same, and then the weights that are left make up for those that are gone, layer by layer: on windows, which should
 * hold what an anomaly looks like too. Convolutions, and layers for which it does not help, stay as `sparsify` leaves them.
 *
 * @param calibration may be empty, then nothing is fitted
 * @throws as `sparsify`; UnsupportedGraphError for inputs that the detector contract does not know
 */
export async function sparsifyFitted(model: ValidModel, share: number, calibration: WindowSet): Promise<ValidModel> {
  const dense = joinBiases(model);
  const sparse = sparsify(dense, share);
  if (calibration.count === 0) return sparse;
  const before = new Map(denseProducts(new GraphEditor(dense)).map((product) => [product.node.output[0]!, product]));
  const editor = new GraphEditor(sparse);
  const products = new Map(denseProducts(editor).map((product) => [product.node, product]));
  const names = [...new Set([...products.values()].map(({ activation }) => activation))];
  const observed = await observe(dense, names, calibration, MOST_VALUES);
  for (const node of editor.nodes) {
    const product = products.get(node);
    const original = before.get(node.output[0] ?? '');
    const refit =
      product && original && refitWeights(layerOf(product, original, observed.get(product.activation)!.values));
    editor.keep(refit === undefined ? node : refitted(editor, product!, refit));
  }
  return editor.finish();
}

/** Of each layer's input, for the fit: twice as many windows as a layer of 512 has inputs. */
const MOST_VALUES = 2 ** 19;

function denseProducts(editor: GraphEditor): WeightProduct[] {
  return weightProducts(editor).filter(({ operator }) => operator !== 'Conv');
}

function layerOf(sparse: WeightProduct, dense: WeightProduct, activations: Float32Array): SparseLayer {
  const [inputs, outputs] = matrixSize(sparse.weight.dims, sparse.outputAxis);
  const columns = ({ weight, outputAxis }: WeightProduct): Float64Array =>
    asColumns(tensorValues(weight), inputs, outputs, outputAxis);
  return {
    dense: columns(dense),
    sparse: columns(sparse),
    inputs,
    outputs,
    activations,
    hasBias: sparse.bias !== undefined,
  };
}

function refitted(editor: GraphEditor, product: WeightProduct, { weights, shift }: Refit): NodeProto {
  const { node, weight, outputAxis, bias } = product;
  const [inputs, outputs] = matrixSize(weight.dims, outputAxis);
  // Back to the layout that it has: the same turn, seen from the other side.
  const values = outputAxis === 1 ? weights : asColumns(weights, outputs, inputs, 0);
  const [name = ''] = node.output;
  const input = [node.input[0]!, editor.add(`${name}/fitted`, float32(values, weight.dims))];
  if (bias !== undefined) {
    const biases = tensorValues(bias).map((value, output) => value + shift[output]!);
    input.push(editor.add(`${name}/fitted_bias`, float32(biases)));
  }
  return { ...node, input };
}

function withoutSmallest(weight: TensorProto, share: number): TensorProto {
  const values = Float32Array.from(tensorValues(weight));
  const order = Array.from(values.keys()).toSorted((a, b) => Math.abs(values[a]!) - Math.abs(values[b]!));
  for (const index of order.slice(0, Math.floor(share * values.length))) values[index] = 0;
  return float32(values, weight.dims);
}
