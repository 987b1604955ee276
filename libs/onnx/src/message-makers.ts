import { AttributeType } from './data-types.ts';
import type { DataType } from './data-types.ts';
import { InvalidGraphError } from './errors.ts';
import type { AttributeProto, NodeProto, TensorProto, ValueInfoProto } from './messages.ts';

/** Marks an attribute as float: a bare number is an integer attribute, so that `axis: 1` and `alpha: float(1)` differ. */
export class FloatAttribute {
  readonly values: number | readonly number[];
  constructor(values: number | readonly number[]) {
    this.values = values;
  }
}
export function float(values: number | readonly number[]): FloatAttribute {
  return new FloatAttribute(values);
}

export type AttributeValue = number | readonly number[] | string | FloatAttribute | { readonly tensor: TensorProto };
export type Attributes = Readonly<Record<string, AttributeValue>>;
/** A size, or the name of a dynamic dimension. */
export type DimensionSpec = number | string;

/** A node message; named after its first output, so that it can be found in a profile. */
export function nodeProto(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Attributes = {},
  domain?: string,
): NodeProto {
  return {
    input: [...inputs],
    output: [...outputs],
    name: `${opType}/${outputs[0] ?? ''}`,
    opType,
    attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value)),
    ...(domain === undefined ? {} : { domain }),
  };
}

/** Type and shape of an input or output. */
export function valueInfo(name: string, elementType: DataType, dims: readonly DimensionSpec[]): ValueInfoProto {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType: elementType, shape: { dim } } } };
}

/** An attribute message. @throws InvalidGraphError for a bare number that is no integer */
export function attributeProto(name: string, value: AttributeValue): AttributeProto {
  const empty: AttributeProto = {
    name,
    floats: [],
    ints: [],
    strings: [],
    tensors: [],
    graphs: [],
    sparseTensors: [],
  };
  if (typeof value === 'number') return { ...empty, type: AttributeType.INT, i: integer(name, value) };
  if (typeof value === 'string') return { ...empty, type: AttributeType.STRING, s: new TextEncoder().encode(value) };
  if (value instanceof FloatAttribute) {
    return typeof value.values === 'number'
      ? { ...empty, type: AttributeType.FLOAT, f: value.values }
      : { ...empty, type: AttributeType.FLOATS, floats: [...value.values] };
  }
  if ('tensor' in value) return { ...empty, type: AttributeType.TENSOR, t: value.tensor };
  return { ...empty, type: AttributeType.INTS, ints: value.map((item) => integer(name, item)) };
}

function integer(name: string, value: number): bigint {
  if (!Number.isSafeInteger(value)) throw new InvalidGraphError(`${name}: ${value} is no integer; use float().`);
  return BigInt(value);
}
