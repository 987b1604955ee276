import { float32, int32, int8, isStandard, tensorValues, uint8 } from '@drover/onnx';
import type { NodeProto, ValidModel } from '@drover/onnx';
import { UnsupportedGraphError } from '../errors.ts';
import type { WindowSet } from '../window-set.ts';
import { chooseRange } from './activation-range.ts';
import type { ChosenRange } from './activation-range.ts';
import { observe } from './calibrate.ts';
import { GraphEditor, readersOf } from './graph-editor.ts';
import { requireOpset } from './require-opset.ts';
import { joinBiases, weightProducts } from './weight-products.ts';
import type { WeightProduct } from './weight-products.ts';
import { quantizeWeight } from './weight-quantization.ts';

export interface Int8Report {
  /** Names of the nodes that compute in int8 now. */
  readonly quantized: readonly string[];
  /** Range of each quantised activation. */
  readonly ranges: Readonly<Record<string, readonly [low: number, high: number]>>;
  /** How each range was chosen, and what of the calibration's values lies outside. */
  readonly choices: Readonly<Record<string, Pick<ChosenRange, 'method' | 'error' | 'saturated'>>>;
}

export interface Int8Options {
  /** Largest magnitude of a weight; see `quantizeWeight`. */
  readonly largestWeight?: number;
  /** Outputs of products that stay in float. */
  readonly skip?: readonly string[];
}

/** Per-channel QDQ is in the standard since this operator set. */
const LEAST_OPSET = 13;

/**
 * Turns products with constant weights into int8 by the QDQ form: what comes in goes through QuantizeLinear and
 * DequantizeLinear (asymmetric uint8: a symmetric one would not be fused after a Relu), the weights become int8 with one
 * scale per output, a bias becomes int32 in the product's own scale, and all are dequantised in the graph. ONNX Runtime
 * fuses the group into one integer product.
 *
 * `MatMul` and `Gemm` give float, so what follows keeps its full range: an anomaly far outside the calibration data does
 * not saturate there. `Conv` is only fused with a quantised output: that (after a Relu, if one follows) gets a range too,
 * and the last one of a chain leaves a DequantizeLinear behind, where float goes on.
 *
 * @param calibration windows whose activations set the ranges; should hold what an anomaly looks like too
 * @throws UnsupportedGraphError when the graph has nothing to quantise
 */
export async function quantizeInt8(
  model: ValidModel,
  calibration: WindowSet,
  options: Int8Options = {},
): Promise<{ model: ValidModel; report: Int8Report }> {
  requireOpset(model, LEAST_OPSET);
  const prepared = joinBiases(model);
  const editor = new GraphEditor(prepared);
  const plan = planOf(prepared, editor, options.skip ?? []);
  if (plan.products.size === 0) {
    throw new UnsupportedGraphError('The graph has no MatMul, Gemm or Conv with constant float32 weights.');
  }
  const observed = await observe(prepared, [...plan.ranges], calibration);
  const ranges = new Map([...observed].map(([name, values]) => [name, chooseRange(values)]));
  return {
    model: rewrite(editor, plan, ranges, options.largestWeight),
    report: {
      quantized: [...plan.products.keys()].map((node) => node.name ?? node.output[0]!),
      ranges: Object.fromEntries(
        [...ranges].map(([name, { scale, zeroPoint }]) => [name, [-zeroPoint * scale, (255 - zeroPoint) * scale]]),
      ),
      choices: Object.fromEntries(
        [...ranges].map(([name, { method, error, saturated }]) => [name, { method, error, saturated }]),
      ),
    },
  };
}

/** What is quantised, and from which ranges. */
interface Plan {
  readonly products: ReadonlyMap<NodeProto, WeightProduct>;
  /** Values that go on in uint8 only: all their readers get the rounded ones. By the node that makes them. */
  readonly outputs: ReadonlyMap<NodeProto, string>;
  /** Names of the values that need a range. */
  readonly ranges: ReadonlySet<string>;
  /** Value → the value whose range is its own too, because the nodes between only move elements. */
  readonly rangeOf: (name: string) => string;
}

/** Operators that give elements of their input and no others. */
const MOVERS = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose', 'Identity', 'MaxPool']);

function planOf(model: ValidModel, editor: GraphEditor, skip: readonly string[]): Plan {
  const readers = readersOf(model.graph, editor.nodes);
  const graphOutputs = new Set(model.graph.output.map(({ name }) => name));
  const producers = new Map(editor.nodes.map((node) => [node.output[0]!, node]));
  const products = new Map<NodeProto, WeightProduct>();
  const outputs = new Map<NodeProto, string>();
  for (const product of weightProducts(editor)) {
    const { node } = product;
    if (skip.includes(node.output[0]!)) continue;
    if (product.operator === 'Conv') {
      const last = withRelu(node, editor.nodes, readers);
      if (graphOutputs.has(last.output[0]!)) continue;
      outputs.set(last, last.output[0]!);
    }
    products.set(node, product);
  }
  const rounded = new Set(outputs.values());
  const rangeOf = (name: string): string => {
    for (let at = name; ;) {
      if (rounded.has(at)) return at;
      const producer = producers.get(at);
      if (producer === undefined || !isStandard(producer) || !MOVERS.has(producer.opType ?? '')) return name;
      at = producer.input[0]!;
    }
  };
  const ranges = new Set([...rounded, ...[...products.values()].map(({ activation }) => rangeOf(activation))]);
  return { products, outputs, ranges, rangeOf };
}

/** The Relu that alone reads what a node makes, or the node itself. */
function withRelu(node: NodeProto, nodes: readonly NodeProto[], readers: ReadonlyMap<string, number>): NodeProto {
  const [output = ''] = node.output;
  if (readers.get(output) !== 1) return node;
  return nodes.find((next) => next.opType === 'Relu' && isStandard(next) && next.input[0] === output) ?? node;
}

function rewrite(
  editor: GraphEditor,
  { products, outputs, rangeOf }: Plan,
  ranges: ReadonlyMap<string, ChosenRange>,
  largestWeight: number | undefined,
): ValidModel {
  /** Value → the value that its readers get instead; for products, and for everyone. */
  const forProducts = new Map<string, string>();
  const forAll = new Map<string, string>();
  const weights = new Map<string, readonly [values: string, scales: string, zeros: string, scale: Float32Array]>();

  const quantized = (name: string, source: string): string => {
    const { scale, zeroPoint } = ranges.get(source)!;
    const parameters = [
      editor.add(`${name}/scale`, float32(scale)),
      editor.add(`${name}/zero_point`, uint8(zeroPoint)),
    ];
    const q = editor.node('QuantizeLinear', [name, ...parameters], `${name}/quantized`);
    return editor.node('DequantizeLinear', [q, ...parameters], `${name}/dequantized`);
  };
  const weightOf = ({ weight, outputAxis, bias }: WeightProduct, inputScale: number) => {
    const name = weight.name ?? '';
    // With another bias or input the same weight may need another scale.
    const key = bias === undefined ? name : `${name}\n${bias.name}\n${inputScale}`;
    const known = weights.get(key);
    if (known !== undefined) return known;
    const count = weight.dims[outputAxis]!;
    const inner = weight.dims.slice(outputAxis + 1).reduce((product, dim) => product * dim, 1);
    const smallest = bias && smallestScales(tensorValues(bias), inputScale);
    const channelOf = (index: number): number => Math.floor(index / inner) % count;
    const { values, scales } = quantizeWeight(tensorValues(weight), count, channelOf, largestWeight, smallest);
    const made = [
      editor.add(`${name}/int8`, int8(values, weight.dims)),
      editor.add(`${name}/scales`, float32(scales)),
      editor.add(`${name}/zero_points`, int8(new Int8Array(count))),
      scales,
    ] as const;
    weights.set(key, made);
    return made;
  };
  const quantizedProduct = (product: WeightProduct, node: NodeProto): void => {
    const { activation, outputAxis, bias } = product;
    const source = rangeOf(activation);
    let input = forAll.get(activation) ?? forProducts.get(activation);
    if (input === undefined) forProducts.set(activation, (input = quantized(activation, source)));
    const inputScale = ranges.get(source)!.scale;
    const [values, scales, zeros, scale] = weightOf(product, inputScale);
    const name = product.node.output[0]!;
    // Each product has its own dequantised weight: the fusion wants it to have one reader.
    const inputs = [
      input,
      editor.node('DequantizeLinear', [values, scales, zeros], `${name}/weight`, { axis: outputAxis }),
    ];
    if (bias !== undefined) {
      const steps = scale.map((step) => step * inputScale);
      const rounded = Int32Array.from(tensorValues(bias), (value, i) => Math.round(value / steps[i]!));
      const parts = [
        editor.add(`${name}/bias/int32`, int32(rounded)),
        editor.add(`${name}/bias/scales`, float32(steps)),
        editor.add(`${name}/bias/zero_points`, int32(new Int32Array(rounded.length))),
      ];
      inputs.push(editor.node('DequantizeLinear', parts, `${name}/bias`, { axis: 0 }));
    }
    editor.keep({ ...node, input: inputs });
  };

  for (const node of editor.nodes) {
    const product = products.get(node);
    if (product !== undefined) quantizedProduct(product, node);
    else editor.keep({ ...node, input: node.input.map((name) => forAll.get(name) ?? name) });
    const output = outputs.get(node);
    if (output !== undefined) forAll.set(output, quantized(output, output));
  }
  return editor.finish();
}

/** Of the weights, so that the bias fits 30 bits in steps of weight × input. */
function smallestScales(bias: Float64Array, inputScale: number): Float64Array {
  return bias.map((value) => Math.abs(value) / (inputScale * 2 ** 30));
}
