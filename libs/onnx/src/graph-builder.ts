import { AttributeType } from './data-types.ts';
import type { DataType } from './data-types.ts';
import { InvalidGraphError } from './errors.ts';
import type { AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto } from './messages.ts';
import { validateModel } from './model-validation.ts';
import type { ValidModel } from './model.codec.ts';

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

export interface NodeOptions {
  /** Names of the outputs. Left out: one output with a generated name. */
  readonly outputs?: readonly string[];
  /** Operator domain; left out for the standard operators. */
  readonly domain?: string;
}

export interface BuildOptions {
  /** Version of the standard operator set. */
  readonly opset?: number;
  readonly irVersion?: number;
  /** Further operator sets by domain. */
  readonly domains?: Readonly<Record<string, number>>;
  readonly producerName?: string;
  readonly producerVersion?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Builds a graph in the order of execution. Every method returns the name of the value it made, so calls nest:
 *
 *     const z = graph.node('Div', [graph.node('Sub', [x, mean]), deviation]);
 *
 * Opset 21 and IR version 10 by default: what ONNX Runtime 1.18 and later read, with QDQ for all integer types.
 */
export class GraphBuilder {
  readonly #name: string;
  readonly #values = new Set<string>();
  readonly #counters = new Map<string, number>();
  readonly #graph: GraphProto;

  constructor(name: string) {
    this.#name = name;
    this.#graph = {
      node: [],
      initializer: [],
      input: [],
      output: [],
      valueInfo: [],
      sparseInitializer: [],
    };
  }

  input(name: string, elementType: DataType, dims: readonly DimensionSpec[]): string {
    this.#graph.input.push(valueInfo(name, elementType, dims));
    return this.#define(name);
  }

  /** Adds a constant under this name, or under a unique one made from it if it is taken. */
  initializer(name: string, tensor: TensorProto): string {
    const unique = this.#define(this.#unique(name));
    this.#graph.initializer.push({ ...tensor, name: unique });
    return unique;
  }

  /** Adds a node and returns its first output. */
  node(opType: string, inputs: readonly string[], attributes: Attributes = {}, options: NodeOptions = {}): string {
    const missing = inputs.find((input) => input !== '' && !this.#values.has(input));
    if (missing !== undefined) throw new InvalidGraphError(`${opType}: nothing produces ${JSON.stringify(missing)}.`);
    const outputs = options.outputs ?? [this.#unique(opType.toLowerCase())];
    for (const output of outputs) this.#define(output);
    const first = outputs[0];
    if (first === undefined) throw new InvalidGraphError(`${opType}: a node needs an output.`);
    this.#graph.node.push(nodeProto(opType, inputs, outputs, attributes, options.domain));
    return first;
  }

  /** Declares a value that a node made (name it with `outputs`) as an output of the graph. */
  output(name: string, elementType: DataType, dims: readonly DimensionSpec[]): void {
    if (!this.#values.has(name)) throw new InvalidGraphError(`Nothing produces the output ${JSON.stringify(name)}.`);
    this.#graph.output.push(valueInfo(name, elementType, dims));
  }

  /** @throws InvalidModelError when the graph is not complete */
  build(options: BuildOptions = {}): ValidModel {
    const {
      opset = 21,
      irVersion = 10,
      domains = {},
      metadata = {},
      producerName = 'drover',
      producerVersion,
    } = options;
    const model = {
      irVersion,
      producerName,
      ...(producerVersion === undefined ? {} : { producerVersion }),
      graph: { ...this.#graph, name: this.#name },
      opsetImport: [
        { domain: '', version: opset },
        ...Object.entries(domains).map(([domain, version]) => ({ domain, version })),
      ],
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
      functions: [],
    };
    validateModel(model);
    return model;
  }

  #define(name: string): string {
    if (name === '') throw new InvalidGraphError('A value needs a name.');
    if (this.#values.has(name)) throw new InvalidGraphError(`The value ${JSON.stringify(name)} exists already.`);
    this.#values.add(name);
    return name;
  }

  #unique(hint: string): string {
    if (!this.#values.has(hint)) return hint;
    let count = this.#counters.get(hint) ?? 1;
    while (this.#values.has(`${hint}_${count}`)) count += 1;
    this.#counters.set(hint, count + 1);
    return `${hint}_${count}`;
  }
}

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

function attributeProto(name: string, value: AttributeValue): AttributeProto {
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
