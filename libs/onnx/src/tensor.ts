import { bitsPerElement, DataType, dataTypeName } from './data-types.ts';
import { InvalidTensorError } from './errors.ts';
import { float16ToNumber, numberToFloat16 } from './float16.ts';
import type { TensorProto } from './messages.ts';

/** An empty tensor message; repeated fields are never undefined. */
export function emptyTensor(): TensorProto {
  return {
    dims: [],
    floatData: [],
    int32Data: [],
    stringData: [],
    int64Data: [],
    doubleData: [],
    uint64Data: [],
    externalData: [],
  };
}

/**
 * A tensor with little-endian `rawData`.
 *
 * @throws InvalidTensorError when the values do not fill the shape
 */
export function tensorOf(
  dataType: DataType,
  values: ArrayLike<number> | ArrayLike<bigint>,
  dims: readonly number[],
): TensorProto {
  const count = elementCount(dims);
  if (values.length !== count) {
    throw new InvalidTensorError(`Shape [${dims.join(', ')}] holds ${count} elements, not ${values.length}.`);
  }
  return { ...emptyTensor(), dims: [...dims], dataType, rawData: encodeElements(dataType, values) };
}

/** float32 tensor; a scalar when `dims` is left out and there is one value, else a vector. */
export function float32(values: ArrayLike<number> | number, dims?: readonly number[]): TensorProto {
  return typed(DataType.FLOAT, values, dims);
}
export function float16(values: ArrayLike<number> | number, dims?: readonly number[]): TensorProto {
  return typed(DataType.FLOAT16, values, dims);
}
export function int8(values: ArrayLike<number> | number, dims?: readonly number[]): TensorProto {
  return typed(DataType.INT8, values, dims);
}
export function uint8(values: ArrayLike<number> | number, dims?: readonly number[]): TensorProto {
  return typed(DataType.UINT8, values, dims);
}
export function int32(values: ArrayLike<number> | number, dims?: readonly number[]): TensorProto {
  return typed(DataType.INT32, values, dims);
}
export function int64(values: ArrayLike<number> | number, dims?: readonly number[]): TensorProto {
  return typed(DataType.INT64, values, dims);
}

function typed(dataType: DataType, values: ArrayLike<number> | number, dims?: readonly number[]): TensorProto {
  if (typeof values === 'number') return tensorOf(dataType, [values], dims ?? []);
  return tensorOf(dataType, values, dims ?? [values.length]);
}

/** Product of the dimensions; 1 for a scalar. @throws InvalidTensorError when a dimension is negative or the product absurd */
export function elementCount(dims: readonly number[]): number {
  let count = 1;
  for (const dim of dims) {
    if (!Number.isSafeInteger(dim) || dim < 0) throw new InvalidTensorError(`Shape [${dims.join(', ')}] is not valid.`);
    count *= dim;
  }
  if (!Number.isSafeInteger(count)) throw new InvalidTensorError(`Shape [${dims.join(', ')}] is absurdly large.`);
  return count;
}

/**
 * The elements of a real-valued tensor as numbers, from `rawData` or the typed field that holds them. float16 and
 * bfloat16 are widened, int64 beyond 2⁵³ loses precision.
 *
 * @throws InvalidTensorError for strings, complex and sub-byte types, and when data and shape disagree
 */
export function tensorValues(tensor: TensorProto): Float64Array {
  const count = elementCount(tensor.dims);
  const { rawData } = tensor;
  const values = rawData === undefined ? typedField(tensor) : decodeElements(tensor.dataType ?? 0, rawData);
  if (values.length !== count) {
    throw new InvalidTensorError(
      `Tensor ${JSON.stringify(tensor.name ?? '')}: shape [${tensor.dims.join(', ')}] holds ${count} elements, the data ${values.length}.`,
    );
  }
  return values;
}

function typedField(tensor: TensorProto): Float64Array {
  switch (tensor.dataType) {
    case DataType.FLOAT:
      return Float64Array.from(tensor.floatData);
    case DataType.DOUBLE:
      return Float64Array.from(tensor.doubleData);
    case DataType.INT64:
      return Float64Array.from(tensor.int64Data, Number);
    case DataType.UINT32:
    case DataType.UINT64:
      return Float64Array.from(tensor.uint64Data, Number);
    case DataType.FLOAT16:
      return Float64Array.from(tensor.int32Data, float16ToNumber);
    case DataType.BFLOAT16:
      return Float64Array.from(tensor.int32Data, bfloat16ToNumber);
    case DataType.INT8:
    case DataType.UINT8:
    case DataType.INT16:
    case DataType.UINT16:
    case DataType.INT32:
    case DataType.BOOL:
      return Float64Array.from(tensor.int32Data);
    default:
      throw unreadable(tensor.dataType ?? 0);
  }
}

type ElementReader = (view: DataView, offset: number) => number;
const READERS: Readonly<Record<number, ElementReader>> = {
  [DataType.FLOAT]: (view, offset) => view.getFloat32(offset, true),
  [DataType.DOUBLE]: (view, offset) => view.getFloat64(offset, true),
  [DataType.FLOAT16]: (view, offset) => float16ToNumber(view.getUint16(offset, true)),
  [DataType.BFLOAT16]: (view, offset) => bfloat16ToNumber(view.getUint16(offset, true)),
  [DataType.INT8]: (view, offset) => view.getInt8(offset),
  [DataType.UINT8]: (view, offset) => view.getUint8(offset),
  [DataType.BOOL]: (view, offset) => view.getUint8(offset),
  [DataType.INT16]: (view, offset) => view.getInt16(offset, true),
  [DataType.UINT16]: (view, offset) => view.getUint16(offset, true),
  [DataType.INT32]: (view, offset) => view.getInt32(offset, true),
  [DataType.UINT32]: (view, offset) => view.getUint32(offset, true),
  [DataType.INT64]: (view, offset) => Number(view.getBigInt64(offset, true)),
  [DataType.UINT64]: (view, offset) => Number(view.getBigUint64(offset, true)),
};

function decodeElements(dataType: number, raw: Uint8Array): Float64Array {
  const read = READERS[dataType];
  const bits = bitsPerElement(dataType);
  if (read === undefined || bits === undefined) throw unreadable(dataType);
  const width = bits / 8;
  if (raw.length % width !== 0) {
    throw new InvalidTensorError(`${raw.length} bytes are no whole number of ${dataTypeName(dataType)} elements.`);
  }
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return Float64Array.from({ length: raw.length / width }, (_, index) => read(view, index * width));
}

type ElementWriter = (view: DataView, offset: number, value: number | bigint) => void;
const WRITERS: Readonly<Record<number, ElementWriter>> = {
  [DataType.FLOAT]: (view, offset, value) => view.setFloat32(offset, Number(value), true),
  [DataType.DOUBLE]: (view, offset, value) => view.setFloat64(offset, Number(value), true),
  [DataType.FLOAT16]: (view, offset, value) => view.setUint16(offset, numberToFloat16(Number(value)), true),
  [DataType.INT8]: (view, offset, value) => view.setInt8(offset, Number(value)),
  [DataType.UINT8]: (view, offset, value) => view.setUint8(offset, Number(value)),
  [DataType.BOOL]: (view, offset, value) => view.setUint8(offset, Number(value) === 0 ? 0 : 1),
  [DataType.INT16]: (view, offset, value) => view.setInt16(offset, Number(value), true),
  [DataType.UINT16]: (view, offset, value) => view.setUint16(offset, Number(value), true),
  [DataType.INT32]: (view, offset, value) => view.setInt32(offset, Number(value), true),
  [DataType.UINT32]: (view, offset, value) => view.setUint32(offset, Number(value), true),
  [DataType.INT64]: (view, offset, value) => view.setBigInt64(offset, BigInt(value), true),
  [DataType.UINT64]: (view, offset, value) => view.setBigUint64(offset, BigInt(value), true),
};

function encodeElements(dataType: number, values: ArrayLike<number> | ArrayLike<bigint>): Uint8Array {
  const write = WRITERS[dataType];
  const bits = bitsPerElement(dataType);
  if (write === undefined || bits === undefined) throw unreadable(dataType);
  const width = bits / 8;
  const bytes = new Uint8Array(values.length * width);
  const view = new DataView(bytes.buffer);
  for (let index = 0; index < values.length; index += 1) write(view, index * width, values[index] as number | bigint);
  return bytes;
}

function bfloat16ToNumber(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(2, bits, true);
  return view.getFloat32(0, true);
}

function unreadable(dataType: number): InvalidTensorError {
  return new InvalidTensorError(`Elements of ${dataTypeName(dataType)} cannot be handled as numbers.`);
}
