import { inferShapes, intAttribute, sizeOf } from '@drover/onnx';
import type { GraphProto, NodeProto } from '@drover/onnx';
import type { GraphFacts } from './graph-facts.ts';

type Dims = readonly number[] | undefined;

/** Multiplications with addition of a node, from the shapes of its inputs and of its first output. */
type WorkRule = (node: NodeProto, inputs: readonly Dims[], output: readonly number[]) => number | undefined;

const perOutput =
  (terms: (inputs: readonly Dims[], node: NodeProto) => number | undefined): WorkRule =>
  (node, inputs, output) => {
    const count = terms(inputs, node);
    return count === undefined ? undefined : count * sizeOf(output);
  };

const lastOfFirst = perOutput(([a]) => a?.at(-1));
const gemm = perOutput(([a], node) => a?.[intAttribute(node, 'transA', 0) === 1 ? 0 : 1]);
/** Taps × channels of a group. */
const conv = (weight: number): WorkRule => perOutput((inputs) => inputs[weight] && sizeOf(inputs[weight].slice(1)));
const convTranspose: WorkRule = (_, [x, w]) => (x && w ? sizeOf(x) * sizeOf(w.slice(1)) : undefined);
/** Each step of time multiplies with all weights once, for each window of the batch. */
const recurrent: WorkRule = (node, [x, w, r]) => {
  const [steps, batch] = intAttribute(node, 'layout', 0) === 1 ? [x?.[1], x?.[0]] : [x?.[0], x?.[1]];
  return w && r && steps !== undefined && batch !== undefined ? steps * batch * (sizeOf(w) + sizeOf(r)) : undefined;
};

const RULES: Readonly<Record<string, WorkRule>> = {
  MatMul: lastOfFirst,
  MatMulInteger: lastOfFirst,
  QLinearMatMul: lastOfFirst,
  MatMulNBits: lastOfFirst,
  DynamicQuantizeMatMul: lastOfFirst,
  MatMulIntegerToFloat: lastOfFirst,
  Gemm: gemm,
  FusedGemm: gemm,
  QGemm: gemm,
  Conv: conv(1),
  FusedConv: conv(1),
  ConvInteger: conv(1),
  QLinearConv: conv(3),
  ConvTranspose: convTranspose,
  LSTM: recurrent,
  GRU: recurrent,
  RNN: recurrent,
};

/** Operators that only move or convert constants, or have none: their constants are not multiplied with. */
const FREE = new Set(
  `Add Sub Mul Div Pow Sqrt Cast Clip Concat Constant ConstantOfShape DequantizeLinear DynamicQuantizeLinear Equal Expand
  Flatten Gather GatherElements GatherND Greater GreaterOrEqual Identity Less LessOrEqual Max Mean Min Not Pad Range
  ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
  Relu Reshape Resize ScatterElements ScatterND Shape Slice Split Squeeze Sum Tile TopK Transpose Unsqueeze Where
  QuantizeLinear BatchNormalization LayerNormalization InstanceNormalization`.split(/\s+/),
);

export function multiplyAccumulatesOf(facts: GraphFacts): number {
  let sum = 0;
  for (const node of facts.graph.node) {
    if (!node.output.every((name) => facts.constants.has(name))) sum += workOf(node, facts);
  }
  return sum;
}

function workOf(node: NodeProto, facts: GraphFacts): number {
  const operator = node.opType ?? '';
  const { shapes } = facts;
  const output = shapes.get(node.output[0] ?? '')?.dims;
  const inputs = node.input.map((name) => shapes.get(name)?.dims);
  const rule = Object.hasOwn(RULES, operator) ? RULES[operator] : undefined;
  const known = output && rule?.(node, inputs, output);
  if (known !== undefined) return known;
  let sum = rule === undefined && FREE.has(operator) ? 0 : guessed(node, facts);
  for (const { g, graphs } of node.attribute) {
    for (const inner of [...(g === undefined ? [] : [g]), ...graphs])
      sum += multiplyAccumulatesOf(inside(inner, facts));
  }
  return sum;
}

/** A subgraph sees what is around it. */
function inside(graph: GraphProto, { shapes, constants }: GraphFacts): GraphFacts {
  const own = inferShapes(graph);
  const initializers = new Set(graph.initializer.map(({ name }) => name));
  return {
    graph,
    shapes: { get: (name) => own.get(name) ?? shapes.get(name) },
    constants: { has: (name) => initializers.has(name) || constants.has(name) },
  };
}

/** Every constant element once for each row of the largest input. */
function guessed(node: NodeProto, { shapes, constants }: GraphFacts): number {
  let [weights, rows] = [0, 1];
  for (const name of node.input) {
    const dims = shapes.get(name)?.dims;
    if (dims === undefined) continue;
    if (constants.has(name)) weights += sizeOf(dims);
    else rows = Math.max(rows, sizeOf(dims.slice(0, -1)));
  }
  return weights * rows;
}
