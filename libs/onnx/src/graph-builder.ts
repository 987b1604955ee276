import type { DataType } from './data-types.ts';
import { InvalidGraphError } from './errors.ts';
import { lowerOpset } from './lower-opset.ts';
import { nodeProto, valueInfo } from './message-makers.ts';
import type { Attributes, DimensionSpec } from './message-makers.ts';
import type { GraphProto, TensorProto } from './messages.ts';
import { validateModel } from './model-validation.ts';
import type { ValidModel } from './model.codec.ts';

export interface NodeOptions {
  /** Names of the outputs. Left out: one output with a generated name. */
  readonly outputs?: readonly string[];
  /** Operator domain; left out for the standard operators. */
  readonly domain?: string;
}

export interface BuildOptions {
  /** Version of the standard operator set. Left out: 17 where the operators are in it, else 21. */
  readonly opset?: number;
  readonly irVersion?: number;
  /** Further operator sets by domain. */
  readonly domains?: Readonly<Record<string, number>>;
  readonly producerName?: string;
  readonly producerVersion?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

const NEWEST_OPSET = 21;

/**
 * Builds a graph in the order of execution. Every method returns the name of the value it made, so calls nest:
 *
 *     const z = graph.node('Div', [graph.node('Sub', [x, mean]), deviation]);
 *
 * Nodes are written as operator set 21 has them (IR version 10, ONNX Runtime 1.18 and later). Unless a version is asked
 * for, the model is lowered to operator set 17 where that is possible, so that older runtimes read it too.
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
      opset = NEWEST_OPSET,
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
    return options.opset === undefined && options.irVersion === undefined ? (lowerOpset(model) ?? model) : model;
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
