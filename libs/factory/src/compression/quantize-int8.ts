import {
  DataType,
  encodeModel,
  float32,
  initializerOf,
  int8,
  nodeProto,
  tensorValues,
  uint8,
  valueInfo,
} from '@drover/onnx';
import type { GraphProto, NodeProto, TensorProto, ValidModel } from '@drover/onnx';
import { eachBatch, withSession } from '../detector-session.ts';
import { UnsupportedGraphError } from '../errors.ts';
import { concatFloats } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';
import { chooseRange } from './activation-range.ts';
import type { Uint8Range } from './activation-range.ts';
import { quantizeWeight } from './weight-quantization.ts';

export interface Int8Report {
  /** Names of the nodes that compute in int8 now. */
  readonly quantized: readonly string[];
  /** Range of each quantised activation. */
  readonly ranges: Readonly<Record<string, readonly [low: number, high: number]>>;
}

/** A matrix product with a constant right-hand side. */
interface Target {
  readonly node: NodeProto;
  readonly activation: string;
  readonly weight: TensorProto;
}

/**
 * Turns matrix products with constant weights into int8 by the QDQ form: the activation goes through QuantizeLinear and
 * DequantizeLinear (asymmetric uint8: a symmetric one would not be fused after a Relu), the weight becomes int8 with one
 * scale per output and is dequantised in the graph. ONNX Runtime fuses the group into one integer product with a float
 * result, so what follows keeps its full range: an anomaly far outside the calibration data does not saturate there.
 *
 * @param calibration windows whose activations set the ranges; should hold what an anomaly looks like too
 * @throws UnsupportedGraphError when the graph has nothing to quantise
 */
export async function quantizeInt8(
  model: ValidModel,
  calibration: WindowSet,
): Promise<{ model: ValidModel; report: Int8Report }> {
  const targets = targetsOf(model.graph);
  if (targets.length === 0) throw new UnsupportedGraphError('The graph has no matrix product with constant weights.');
  const names = [...new Set(targets.map((target) => target.activation))];
  const ranges = await calibrate(model, names, calibration);
  const graph = rewrite(model.graph, targets, ranges);
  return {
    model: { ...model, graph },
    report: {
      quantized: targets.map(({ node }) => node.name ?? node.output[0]!),
      ranges: Object.fromEntries(
        [...ranges].map(([name, { scale, zeroPoint }]) => [name, [-zeroPoint * scale, (255 - zeroPoint) * scale]]),
      ),
    },
  };
}

function targetsOf(graph: GraphProto): Target[] {
  return graph.node.flatMap((node) => {
    const [activation, weightName] = node.input;
    if (node.opType !== 'MatMul' || activation === undefined || weightName === undefined) return [];
    const weight = initializerOf(graph, weightName);
    const fits = weight?.dims.length === 2 && weight.dataType === DataType.FLOAT;
    return weight && fits && !initializerOf(graph, activation) ? [{ node, activation, weight }] : [];
  });
}

/** Runs the float model with the activations as further outputs and chooses a range for each. */
async function calibrate(
  model: ValidModel,
  names: readonly string[],
  calibration: WindowSet,
): Promise<Map<string, Uint8Range>> {
  const known = new Set(model.graph.output.map((output) => output.name));
  const output = [
    ...model.graph.output,
    // The rank does not matter: ONNX Runtime infers the shape.
    ...names
      .filter((name) => !known.has(name))
      .map((name) => ({ ...valueInfo(name, DataType.FLOAT, []), type: floatType() })),
  ];
  const observed = encodeModel({ ...model, graph: { ...model.graph, output } });
  const parts = new Map<string, Float32Array[]>(names.map((name) => [name, []]));
  await withSession(observed, (session) =>
    eachBatch(session, calibration, names, (outputs) => {
      for (const name of names) parts.get(name)?.push(Float32Array.from(outputs[name]!));
    }),
  );
  return new Map([...parts].map(([name, list]) => [name, chooseRange(concatFloats(list))]));
}

function floatType(): { tensorType: { elemType: number } } {
  return { tensorType: { elemType: DataType.FLOAT } };
}

function rewrite(graph: GraphProto, targets: readonly Target[], ranges: ReadonlyMap<string, Uint8Range>): GraphProto {
  const initializers = new Map(graph.initializer.map((tensor) => [tensor.name ?? '', tensor]));
  const add = (name: string, tensor: TensorProto): string => {
    initializers.set(name, { ...tensor, name });
    return name;
  };
  const nodes: NodeProto[] = [];
  const dequantized = new Map<string, string>();
  for (const node of graph.node) {
    const target = targets.find((candidate) => candidate.node === node);
    if (target === undefined) {
      nodes.push(node);
      continue;
    }
    const { activation, weight } = target;
    const range = ranges.get(activation)!;
    let input = dequantized.get(activation);
    if (input === undefined) {
      const scale = add(`${activation}/scale`, float32(range.scale));
      const zero = add(`${activation}/zero_point`, uint8(range.zeroPoint));
      input = `${activation}/dequantized`;
      nodes.push(
        nodeProto('QuantizeLinear', [activation, scale, zero], [`${activation}/quantized`]),
        nodeProto('DequantizeLinear', [`${activation}/quantized`, scale, zero], [input]),
      );
      dequantized.set(activation, input);
    }
    const name = weight.name ?? '';
    if (!initializers.has(`${name}/int8`)) addQuantizedWeight(name, weight, add);
    const weightInput = `${node.output[0]}/weight`;
    nodes.push(
      // Each product has its own dequantised weight: the fusion wants it to have one reader.
      nodeProto('DequantizeLinear', [`${name}/int8`, `${name}/scales`, `${name}/zero_points`], [weightInput], {
        axis: 1,
      }),
      { ...node, input: [input, weightInput] },
    );
  }
  return { ...graph, node: nodes, initializer: withoutUnused([...initializers.values()], nodes, graph) };
}

function addQuantizedWeight(
  name: string,
  weight: TensorProto,
  add: (name: string, tensor: TensorProto) => string,
): void {
  const [rows = 0, columns = 0] = weight.dims;
  const { values, scales } = quantizeWeight(tensorValues(weight), columns, (index) => index % columns);
  add(`${name}/int8`, int8(values, [rows, columns]));
  add(`${name}/scales`, float32(scales));
  add(`${name}/zero_points`, int8(new Int8Array(columns)));
}

function withoutUnused(tensors: readonly TensorProto[], nodes: readonly NodeProto[], graph: GraphProto): TensorProto[] {
  const used = new Set([...nodes.flatMap((node) => node.input), ...graph.output.map((output) => output.name)]);
  return tensors.filter((tensor) => used.has(tensor.name));
}
