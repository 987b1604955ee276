import type * as onnx from './messages.ts';

/**
 * How a field is written. `count` is an int64 that is read as a safe integer, `int64` and `uint64` are read as bigint.
 */
export type ScalarKind = 'string' | 'bytes' | 'float' | 'double' | 'int32' | 'int64' | 'uint64' | 'count';

export interface Field {
  readonly id: number;
  readonly repeated: boolean;
  /** Whether the encoder packs a repeated number; the decoder takes both forms, as protobuf asks for. */
  readonly packed: boolean;
  readonly kind: ScalarKind | (() => MessageSchema);
}

export interface MessageSchema {
  readonly name: string;
  readonly fields: Readonly<Record<string, Field>>;
  readonly byId: ReadonlyMap<number, readonly [key: string, field: Field]>;
}

const one = (id: number, kind: Field['kind']): Field => ({ id, kind, repeated: false, packed: false });
const many = (id: number, kind: Field['kind']): Field => ({ id, kind, repeated: true, packed: false });
const packed = (id: number, kind: ScalarKind): Field => ({ id, kind, repeated: true, packed: true });

/** Ties a table to its interface: a key missing on either side is a type error. */
function schema<T extends onnx.Message>(
  name: string,
  fields: { readonly [K in Exclude<keyof T, 'unknownFields'>]-?: Field },
): MessageSchema {
  const table = fields as Readonly<Record<string, Field>>;
  return { name, fields: table, byId: new Map(Object.entries(table).map(([key, field]) => [field.id, [key, field]])) };
}

// Field numbers as published in the ONNX intermediate representation specification (onnx.ai, IR version 13).

export const stringStringEntry = schema<onnx.StringStringEntry>('StringStringEntryProto', {
  key: one(1, 'string'),
  value: one(2, 'string'),
});

export const operatorSetId = schema<onnx.OperatorSetId>('OperatorSetIdProto', {
  domain: one(1, 'string'),
  version: one(2, 'count'),
});

export const tensor = schema<onnx.TensorProto>('TensorProto', {
  dims: many(1, 'count'),
  dataType: one(2, 'int32'),
  floatData: packed(4, 'float'),
  int32Data: packed(5, 'int32'),
  stringData: many(6, 'bytes'),
  int64Data: packed(7, 'int64'),
  name: one(8, 'string'),
  rawData: one(9, 'bytes'),
  doubleData: packed(10, 'double'),
  uint64Data: packed(11, 'uint64'),
  docString: one(12, 'string'),
  externalData: many(13, () => stringStringEntry),
  dataLocation: one(14, 'int32'),
});

export const sparseTensor = schema<onnx.SparseTensorProto>('SparseTensorProto', {
  values: one(1, () => tensor),
  indices: one(2, () => tensor),
  dims: many(3, 'count'),
});

const dimension = schema<onnx.Dimension>('TensorShapeProto.Dimension', {
  dimValue: one(1, 'count'),
  dimParam: one(2, 'string'),
  denotation: one(3, 'string'),
});

const tensorShape = schema<onnx.TensorShapeProto>('TensorShapeProto', { dim: many(1, () => dimension) });

const tensorType = schema<onnx.TensorTypeProto>('TypeProto.Tensor', {
  elemType: one(1, 'int32'),
  shape: one(2, () => tensorShape),
});

const type = schema<onnx.TypeProto>('TypeProto', {
  tensorType: one(1, () => tensorType),
  denotation: one(6, 'string'),
});

export const valueInfo = schema<onnx.ValueInfoProto>('ValueInfoProto', {
  name: one(1, 'string'),
  type: one(2, () => type),
  docString: one(3, 'string'),
});

export const attribute: MessageSchema = schema<onnx.AttributeProto>('AttributeProto', {
  name: one(1, 'string'),
  f: one(2, 'float'),
  i: one(3, 'int64'),
  s: one(4, 'bytes'),
  t: one(5, () => tensor),
  g: one(6, () => graph),
  floats: many(7, 'float'),
  ints: many(8, 'int64'),
  strings: many(9, 'bytes'),
  tensors: many(10, () => tensor),
  graphs: many(11, () => graph),
  docString: one(13, 'string'),
  type: one(20, 'int32'),
  refAttrName: one(21, 'string'),
  sparseTensor: one(22, () => sparseTensor),
  sparseTensors: many(23, () => sparseTensor),
});

export const node = schema<onnx.NodeProto>('NodeProto', {
  input: many(1, 'string'),
  output: many(2, 'string'),
  name: one(3, 'string'),
  opType: one(4, 'string'),
  attribute: many(5, () => attribute),
  docString: one(6, 'string'),
  domain: one(7, 'string'),
  overload: one(8, 'string'),
});

export const graph: MessageSchema = schema<onnx.GraphProto>('GraphProto', {
  node: many(1, () => node),
  name: one(2, 'string'),
  initializer: many(5, () => tensor),
  docString: one(10, 'string'),
  input: many(11, () => valueInfo),
  output: many(12, () => valueInfo),
  valueInfo: many(13, () => valueInfo),
  sparseInitializer: many(15, () => sparseTensor),
});

const functionSchema = schema<onnx.FunctionProto>('FunctionProto', {
  name: one(1, 'string'),
  input: many(4, 'string'),
  output: many(5, 'string'),
  attribute: many(6, 'string'),
  node: many(7, () => node),
  docString: one(8, 'string'),
  opsetImport: many(9, () => operatorSetId),
  domain: one(10, 'string'),
  attributeProto: many(11, () => attribute),
  overload: one(13, 'string'),
});

export const model = schema<onnx.ModelProto>('ModelProto', {
  irVersion: one(1, 'count'),
  producerName: one(2, 'string'),
  producerVersion: one(3, 'string'),
  domain: one(4, 'string'),
  modelVersion: one(5, 'count'),
  docString: one(6, 'string'),
  graph: one(7, () => graph),
  opsetImport: many(8, () => operatorSetId),
  metadataProps: many(14, () => stringStringEntry),
  functions: many(25, () => functionSchema),
});
