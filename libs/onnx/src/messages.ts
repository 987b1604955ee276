/**
 * The ONNX messages as typed objects.
 *
 * Repeated fields are always present (empty when absent on the wire), singular fields are optional. Fields that this
 * library does not know survive in `unknownFields`, each element one complete field as it was on the wire.
 * 64-bit integers are `bigint` where any value is legal, `number` where only a count or version makes sense.
 */
export interface Message {
  unknownFields?: Uint8Array[];
}

export interface StringStringEntry extends Message {
  key?: string;
  value?: string;
}

export interface OperatorSetId extends Message {
  /** Empty or absent means the standard operators. */
  domain?: string;
  version?: number;
}

export interface TensorProto extends Message {
  dims: number[];
  dataType?: number;
  floatData: number[];
  int32Data: number[];
  stringData: Uint8Array[];
  int64Data: bigint[];
  name?: string;
  /** Little endian, row-major. A view on the decoded bytes, not a copy. */
  rawData?: Uint8Array;
  doubleData: number[];
  uint64Data: bigint[];
  docString?: string;
  externalData: StringStringEntry[];
  /** 0 inside the model, 1 in another file. */
  dataLocation?: number;
}

export interface SparseTensorProto extends Message {
  values?: TensorProto;
  indices?: TensorProto;
  dims: number[];
}

export interface Dimension extends Message {
  dimValue?: number;
  /** A named, dynamic dimension, `N` for example. */
  dimParam?: string;
  denotation?: string;
}

export interface TensorShapeProto extends Message {
  dim: Dimension[];
}

export interface TensorTypeProto extends Message {
  elemType?: number;
  shape?: TensorShapeProto;
}

/** Sequence, map and optional types are kept as unknown fields: a detector has only tensors. */
export interface TypeProto extends Message {
  tensorType?: TensorTypeProto;
  denotation?: string;
}

export interface ValueInfoProto extends Message {
  name?: string;
  type?: TypeProto;
  docString?: string;
}

export interface AttributeProto extends Message {
  name?: string;
  f?: number;
  i?: bigint;
  s?: Uint8Array;
  t?: TensorProto;
  g?: GraphProto;
  floats: number[];
  ints: bigint[];
  strings: Uint8Array[];
  tensors: TensorProto[];
  graphs: GraphProto[];
  docString?: string;
  type?: number;
  refAttrName?: string;
  sparseTensor?: SparseTensorProto;
  sparseTensors: SparseTensorProto[];
}

export interface NodeProto extends Message {
  input: string[];
  output: string[];
  name?: string;
  opType?: string;
  attribute: AttributeProto[];
  docString?: string;
  domain?: string;
  overload?: string;
}

export interface GraphProto extends Message {
  node: NodeProto[];
  name?: string;
  initializer: TensorProto[];
  docString?: string;
  input: ValueInfoProto[];
  output: ValueInfoProto[];
  valueInfo: ValueInfoProto[];
  sparseInitializer: SparseTensorProto[];
}

export interface FunctionProto extends Message {
  name?: string;
  input: string[];
  output: string[];
  attribute: string[];
  node: NodeProto[];
  docString?: string;
  opsetImport: OperatorSetId[];
  domain?: string;
  attributeProto: AttributeProto[];
  overload?: string;
}

export interface ModelProto extends Message {
  irVersion?: number;
  producerName?: string;
  producerVersion?: string;
  domain?: string;
  modelVersion?: number;
  docString?: string;
  graph?: GraphProto;
  opsetImport: OperatorSetId[];
  metadataProps: StringStringEntry[];
  functions: FunctionProto[];
}
