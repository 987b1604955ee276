import { attributeOf, intAttribute, isStandard, stringAttribute } from './attributes.ts';
import { DataType } from './data-types.ts';
import { attributeProto } from './message-makers.ts';
import type { GraphProto, NodeProto } from './messages.ts';
import type { ValidModel } from './model.codec.ts';
import { tensorValues } from './tensor.ts';

/** What `lowerOpset` writes: operator set 17, which ONNX 1.12 and ONNX Runtime 1.12 (2022) read. */
export const LOWEST_OPSET = 17;
const LOWEST_IR_VERSION = 8;

/** Since operator set 18 these take their axes as an input; before, as an attribute. */
const REDUCTIONS = new Set(
  ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'SumSquare'].map((name) => `Reduce${name}`),
);

/** Operators whose later versions only take more element types, or more inputs or attributes than are looked for here. */
const UNCHANGED = new Set(
  `Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv
  ConvInteger ConvTranspose Cos CumSum DequantizeLinear Div DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand
  Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual HardSigmoid
  Identity LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul MatMulInteger Max MaxPool Mean Min Mod
  Mul Neg Not Or PRelu Pow QLinearConv QLinearMatMul QuantizeLinear Range Reciprocal ReduceSum Relu Reshape Round
  Selu Shape Sigmoid Sign Sin Slice Softmax Softplus Softsign Sqrt Squeeze Sub Sum Tan Tanh Tile TopK Transpose
  Unsqueeze Where Xor`.split(/\s+/),
);
/** Attributes that came later. */
const RESIZE_LATER = ['antialias', 'axes', 'keep_aspect_ratio_policy'];
const LATER = ['block_size', 'output_dtype', 'saturate', 'precision', 'round_mode', 'dilations'];

/**
 * The same model in operator set 17 and IR version 8, which old runtimes (NVIDIA's for older boards) and independent
 * checkers read; undefined where it uses what operator set 17 does not have.
 *
 * @param model in operator sets 18 to 21
 */
export function lowerOpset(model: ValidModel): ValidModel | undefined {
  const standard = model.opsetImport.find(({ domain = '' }) => domain === '' || domain === 'ai.onnx');
  const version = standard?.version ?? 0;
  const { graph } = model;
  const laterTypes = graph.initializer.some(({ dataType = 0 }) => dataType > DataType.BFLOAT16);
  if (version <= LOWEST_OPSET || version > 21 || model.functions.length > 0 || laterTypes) return undefined;
  const node: NodeProto[] = [];
  for (const original of graph.node) {
    const lowered = isStandard(original) ? lowerNode(original, graph) : original;
    if (lowered === undefined) return undefined;
    node.push(lowered);
  }
  const used = new Set([...node.flatMap(({ input }) => input), ...graph.output.map((output) => output.name ?? '')]);
  const were = new Set(graph.node.flatMap(({ input }) => input));
  // Axes that became attributes are of no use any more; what nothing used before is left as it was.
  const initializer = graph.initializer.filter(({ name = '' }) => used.has(name) || !were.has(name));
  return {
    ...model,
    irVersion: Math.min(model.irVersion ?? LOWEST_IR_VERSION, LOWEST_IR_VERSION),
    opsetImport: model.opsetImport.map((opset) => (opset === standard ? { ...opset, version: LOWEST_OPSET } : opset)),
    graph: { ...graph, node, initializer },
  };
}

function lowerNode(node: NodeProto, graph: GraphProto): NodeProto | undefined {
  const operator = node.opType ?? '';
  if (node.attribute.some(({ g, graphs }) => g !== undefined || graphs.length > 0)) return undefined;
  if (REDUCTIONS.has(operator)) return lowerReduction(node, graph);
  if (operator === 'Split') return attributeOf(node, 'num_outputs') === undefined ? node : undefined;
  if (operator === 'Pad') return node.input.length <= 3 ? node : undefined;
  if (operator === 'Resize')
    return RESIZE_LATER.some((name) => attributeOf(node, name) !== undefined) ? undefined : node;
  if (operator.startsWith('Scatter')) {
    return ['max', 'min'].includes(stringAttribute(node, 'reduction') ?? '') ? undefined : node;
  }
  const isPool = operator === 'MaxPool' || operator.startsWith('Conv');
  const late = LATER.some((name) => attributeOf(node, name) !== undefined && !(name === 'dilations' && isPool));
  return UNCHANGED.has(operator) && !late ? node : undefined;
}

function lowerReduction(node: NodeProto, graph: GraphProto): NodeProto | undefined {
  const [data = '', axes = ''] = node.input;
  const keepdims = intAttribute(node, 'keepdims', 1);
  if (axes === '') {
    return intAttribute(node, 'noop_with_empty_axes', 0) === 1 ? undefined : reduction(node, data, { keepdims });
  }
  const tensor = graph.initializer.find(({ name }) => name === axes);
  const isInput = graph.input.some(({ name }) => name === axes);
  if (tensor === undefined || isInput || tensor.dims[0] === 0) return undefined;
  return reduction(node, data, { keepdims, axes: Array.from(tensorValues(tensor)) });
}

function reduction(node: NodeProto, data: string, attributes: Record<string, number | number[]>): NodeProto {
  const attribute = Object.entries(attributes).map(([name, value]) => attributeProto(name, value));
  return { ...node, input: [data], attribute };
}
