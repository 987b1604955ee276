import { DataType } from '../data-types.ts';
import { intAttribute } from '../attributes.ts';
import { broadcast, sizeOf } from './inferred-value.ts';
import type { ShapeRule } from './inferred-value.ts';

const same: ShapeRule = (_, [x]) => x && [{ elementType: x.elementType, dims: x.dims }];

/** Values go through unchanged, so that small constants stay known. */
const passed: ShapeRule = (_, [x]) => x && [x];

const broadcasted =
  (elementType?: number, first = 0): ShapeRule =>
  (node, inputs) => {
    const known = inputs.filter((input) => input !== undefined);
    if (known.length === 0 || known.length < node.input.length) return undefined;
    const dims = broadcast(...known.map((input) => input.dims));
    return dims && [{ elementType: elementType ?? inputs[first]?.elementType ?? DataType.FLOAT, dims }];
  };

/** Integer arithmetic on shapes, as exporters write it; else as any binary operator. */
const arithmetic =
  (compute: (a: number, b: number) => number): ShapeRule =>
  (node, inputs) => {
    const result = broadcasted()(node, inputs)?.[0];
    const [a, b] = inputs;
    if (result === undefined || a?.elements === undefined || b?.elements === undefined) return result && [result];
    const count = sizeOf(result.dims);
    // Only where neither side is spread over several axes: shapes are vectors.
    const [left, right] = [a.elements, b.elements].map((list) => (list.length === 1 ? filled(count, list[0]!) : list));
    if (left?.length !== count || right?.length !== count) return [result];
    const elements = left.map((value, index) => compute(value, right[index]!));
    return [elements.every(Number.isSafeInteger) ? { ...result, elements } : result];
  };

/** No shape is longer than this. */
const MOST = 64;

function filled(count: number, value: number): number[] {
  return Array.from({ length: Math.min(count, MOST) }, () => value);
}

const cast: ShapeRule = (node, [x]) => {
  const elementType = intAttribute(node, 'to', DataType.FLOAT);
  return x && [{ ...x, elementType }];
};

const UNARY =
  `Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Clip Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid
  HardSwish HardTanh Hardmax LeakyRelu Log LogSoftmax LpNormalization LRN MeanVarianceNormalization Mish Neg Not PRelu
  QuickGelu Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh
  ThresholdedRelu Trilu CumSum InstanceNormalization GroupNormalization BatchNormalization LayerNormalization
  SimplifiedLayerNormalization RMSNormalization ScatterElements ScatterND`.split(/\s+/);
const BINARY = ['Pow', 'Mod', 'BitShift', 'BitwiseAnd', 'BitwiseOr', 'BitwiseXor', 'Max', 'Min', 'Mean', 'Sum'];
const COMPARISONS = ['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'And', 'Or', 'Xor'];

/** Operators whose output has the shape of an input, or of all of them broadcast. */
export const ELEMENTWISE_RULES: Readonly<Record<string, ShapeRule>> = {
  ...Object.fromEntries(UNARY.map((name) => [name, same])),
  ...Object.fromEntries(BINARY.map((name) => [name, broadcasted()])),
  ...Object.fromEntries(COMPARISONS.map((name) => [name, broadcasted(DataType.BOOL)])),
  Identity: passed,
  Dropout: passed,
  Cast: cast,
  CastLike: (_, [x, like]) => x && like && [{ ...x, elementType: like.elementType }],
  Where: broadcasted(undefined, 1),
  Add: arithmetic((a, b) => a + b),
  Sub: arithmetic((a, b) => a - b),
  Mul: arithmetic((a, b) => a * b),
  Div: arithmetic((a, b) => Math.trunc(a / b)),
  IsNaN: (_, [x]) => x && [{ elementType: DataType.BOOL, dims: x.dims }],
  IsInf: (_, [x]) => x && [{ elementType: DataType.BOOL, dims: x.dims }],
  QuantizeLinear: (_, [x, , zero]) => x && [{ elementType: zero?.elementType ?? DataType.UINT8, dims: x.dims }],
  DequantizeLinear: (_, [x, scale]) => x && [{ elementType: scale?.elementType ?? DataType.FLOAT, dims: x.dims }],
  DynamicQuantizeLinear: (_, [x]) =>
    x && [
      { elementType: DataType.UINT8, dims: x.dims },
      { elementType: DataType.FLOAT, dims: [] },
      { elementType: DataType.UINT8, dims: [] },
    ],
};
