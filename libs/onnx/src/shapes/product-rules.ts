import { intAttribute, intsAttribute, stringAttribute } from '../attributes.ts';
import { DataType } from '../data-types.ts';
import type { NodeProto } from '../messages.ts';
import { axisOf, broadcast } from './inferred-value.ts';
import type { InferredValue, ShapeRule } from './inferred-value.ts';

/** `[…, M, K] × […, K, N]`, where one-dimensional operands lose the axis that was added for them. */
export function matMulDims(a: readonly number[], b: readonly number[]): number[] | undefined {
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  const batch = broadcast(left.slice(0, -2), right.slice(0, -2));
  if (batch === undefined || left.length < 2 || right.length < 2) return undefined;
  const rows = a.length === 1 ? [] : [left.at(-2)!];
  const columns = b.length === 1 ? [] : [right.at(-1)!];
  return [...batch, ...rows, ...columns];
}

const matMul =
  (second: number, elementType?: number): ShapeRule =>
  (_, inputs) => {
    const [a, b] = [inputs[0], inputs[second]];
    const dims = a && b && matMulDims(a.dims, b.dims);
    return dims && [{ elementType: elementType ?? a.elementType, dims }];
  };

const gemm =
  (second: number, elementType?: number): ShapeRule =>
  (node, inputs) => {
    const [a, b] = [inputs[0], inputs[second]];
    if (a?.dims.length !== 2 || b?.dims.length !== 2) return undefined;
    const rows = a.dims[intAttribute(node, 'transA', 0) === 1 ? 1 : 0]!;
    const columns = b.dims[intAttribute(node, 'transB', 0) === 1 ? 0 : 1]!;
    return [{ elementType: elementType ?? a.elementType, dims: [rows, columns] }];
  };

/** Sizes of a convolution, or of a pooling, over the axes after batch and channels. */
function slidOver(node: NodeProto, sizes: readonly number[], kernel: readonly number[]): number[] {
  const strides = intsAttribute(node, 'strides');
  const dilations = intsAttribute(node, 'dilations');
  const pads = intsAttribute(node, 'pads');
  const autoPad = stringAttribute(node, 'auto_pad') ?? 'NOTSET';
  const round = intAttribute(node, 'ceil_mode', 0) === 1 ? Math.ceil : Math.floor;
  return sizes.map((size, axis) => {
    const stride = strides?.[axis] ?? 1;
    if (autoPad.startsWith('SAME')) return Math.ceil(size / stride);
    const reach = ((kernel[axis] ?? 1) - 1) * (dilations?.[axis] ?? 1) + 1;
    const padded = size + (pads?.[axis] ?? 0) + (pads?.[axis + sizes.length] ?? 0);
    return Math.max(0, round((padded - reach) / stride) + 1);
  });
}

const conv =
  (second: number, elementType?: number): ShapeRule =>
  (node, inputs) => {
    const [x, w] = [inputs[0], inputs[second]];
    if (x === undefined || w === undefined || x.dims.length < 3 || w.dims.length !== x.dims.length) return undefined;
    const spatial = slidOver(node, x.dims.slice(2), w.dims.slice(2));
    return [{ elementType: elementType ?? x.elementType, dims: [x.dims[0]!, w.dims[0]!, ...spatial] }];
  };

const convTranspose: ShapeRule = (node, [x, w]) => {
  if (x === undefined || w === undefined || x.dims.length < 3 || w.dims.length !== x.dims.length) return undefined;
  const group = intAttribute(node, 'group', 1);
  const pads = intsAttribute(node, 'pads');
  const rank = x.dims.length - 2;
  const same = (stringAttribute(node, 'auto_pad') ?? '').startsWith('SAME');
  const spatial = x.dims.slice(2).map((size, axis) => {
    const stride = intsAttribute(node, 'strides')?.[axis] ?? 1;
    if (same) return size * stride;
    const reach = ((w.dims[axis + 2] ?? 1) - 1) * (intsAttribute(node, 'dilations')?.[axis] ?? 1) + 1;
    const extra = intsAttribute(node, 'output_padding')?.[axis] ?? 0;
    return Math.max(0, (size - 1) * stride + reach + extra - (pads?.[axis] ?? 0) - (pads?.[axis + rank] ?? 0));
  });
  return [{ elementType: x.elementType, dims: [x.dims[0]!, w.dims[1]! * group, ...spatial] }];
};

const pool: ShapeRule = (node, [x]) => {
  const kernel = intsAttribute(node, 'kernel_shape');
  if (x === undefined || kernel === undefined || x.dims.length < 3) return undefined;
  const value: InferredValue = {
    elementType: x.elementType,
    dims: [...x.dims.slice(0, 2), ...slidOver(node, x.dims.slice(2), kernel)],
  };
  // The second output of MaxPool says where the largest one was.
  return [value, { elementType: DataType.INT64, dims: value.dims }];
};

const globalPool: ShapeRule = (_, [x]) =>
  x && [{ elementType: x.elementType, dims: x.dims.map((dim, axis) => (axis < 2 ? dim : 1)) }];

const reduce: ShapeRule = (node, [x, axes]) => {
  if (x === undefined) return undefined;
  const given = intsAttribute(node, 'axes') ?? axes?.elements;
  if (given === undefined && axes !== undefined) return undefined;
  const none = given === undefined || given.length === 0;
  if (none && intAttribute(node, 'noop_with_empty_axes', 0) === 1) return [{ ...x }];
  const gone = new Set(none ? x.dims.keys() : given.map((axis) => axisOf(axis, x.dims.length)));
  return [{ elementType: x.elementType, dims: withoutAxes(x.dims, gone, intAttribute(node, 'keepdims', 1) === 1) }];
};

const argReduce: ShapeRule = (node, [x]) => {
  if (x === undefined) return undefined;
  const gone = new Set([axisOf(intAttribute(node, 'axis', 0), x.dims.length)]);
  const keep = intAttribute(node, 'keepdims', 1) === 1;
  return [{ elementType: DataType.INT64, dims: withoutAxes(x.dims, gone, keep) }];
};

const topK: ShapeRule = (node, [x, k]) => {
  const count = k?.elements?.[0];
  if (x === undefined || count === undefined) return undefined;
  const dims = x.dims.with(axisOf(intAttribute(node, 'axis', -1), x.dims.length), count);
  return [
    { elementType: x.elementType, dims },
    { elementType: DataType.INT64, dims },
  ];
};

/** LSTM, GRU and RNN: `[time, batch, features]` → all outputs, the last one, and for LSTM the last cell. */
const recurrent: ShapeRule = (node, [x, , r]) => {
  const hidden = intAttribute(node, 'hidden_size', r?.dims.at(-1) ?? 0);
  if (x?.dims.length !== 3 || hidden === 0) return undefined;
  const directions = stringAttribute(node, 'direction') === 'bidirectional' ? 2 : 1;
  const [time, batch] = intAttribute(node, 'layout', 0) === 1 ? [x.dims[1]!, x.dims[0]!] : [x.dims[0]!, x.dims[1]!];
  const { elementType } = x;
  const last = { elementType, dims: [directions, batch, hidden] };
  return [{ elementType, dims: [time, directions, batch, hidden] }, last, last];
};

const matMulNBits: ShapeRule = (node, [x]) => {
  const columns = intAttribute(node, 'N', 0);
  return x && columns > 0 ? [{ elementType: x.elementType, dims: [...x.dims.slice(0, -1), columns] }] : undefined;
};

const REDUCTIONS = ['L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'Sum', 'SumSquare'];

/** Operators that sum over an axis. */
export const PRODUCT_RULES: Readonly<Record<string, ShapeRule>> = {
  MatMul: matMul(1),
  MatMulInteger: matMul(1, DataType.INT32),
  QLinearMatMul: matMul(3),
  Gemm: gemm(1),
  Conv: conv(1),
  ConvInteger: conv(1, DataType.INT32),
  QLinearConv: conv(3),
  ConvTranspose: convTranspose,
  MaxPool: pool,
  AveragePool: pool,
  LpPool: pool,
  GlobalAveragePool: globalPool,
  GlobalMaxPool: globalPool,
  GlobalLpPool: globalPool,
  ...Object.fromEntries(REDUCTIONS.map((name) => [`Reduce${name}`, reduce])),
  ArgMax: argReduce,
  ArgMin: argReduce,
  TopK: topK,
  LSTM: recurrent,
  GRU: recurrent,
  RNN: recurrent,
};

/** Those of ONNX Runtime's own operators that this library's models use. */
export const MICROSOFT_RULES: Readonly<Record<string, ShapeRule>> = {
  MatMulNBits: matMulNBits,
  DynamicQuantizeMatMul: matMul(1),
  MatMulIntegerToFloat: matMul(1, DataType.FLOAT),
  FusedGemm: gemm(1),
  QGemm: gemm(3),
  FusedConv: conv(1),
};

function withoutAxes(dims: readonly number[], gone: ReadonlySet<number>, keep: boolean): number[] {
  return keep ? dims.map((dim, axis) => (gone.has(axis) ? 1 : dim)) : dims.filter((_, axis) => !gone.has(axis));
}
