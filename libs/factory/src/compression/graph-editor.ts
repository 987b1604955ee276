import { attributeOf, DataType, float32, int64, isStandard, nodeProto, tensorAttribute } from '@drover/onnx';
import type { Attributes, GraphProto, NodeProto, TensorProto, ValidModel } from '@drover/onnx';

/**
 * A graph that is being rewritten, node by node in the order of execution. The graph it was made from stays as it is;
 * constants are the initialisers that no input can replace, and the outputs of `Constant` nodes.
 */
export class GraphEditor {
  readonly #model: ValidModel;
  readonly #constants = new Map<string, TensorProto>();
  readonly #names = new Set<string>();
  readonly #added: NodeProto[] = [];
  /** Of the original graph, without its `Constant` nodes. */
  readonly nodes: readonly NodeProto[];

  constructor(model: ValidModel) {
    this.#model = model;
    const { graph } = model;
    for (const tensor of graph.initializer) this.#constants.set(tensor.name ?? '', tensor);
    this.nodes = graph.node.filter((node) => !this.#takeConstant(node));
    for (const { name = '' } of [...graph.input, ...graph.initializer]) this.#names.add(name);
    for (const name of graph.node.flatMap(({ output }) => output)) this.#names.add(name);
  }

  /** The constant of that name; undefined for what is computed or may be given from outside. */
  constant(name: string | undefined): TensorProto | undefined {
    if (name === undefined || this.#model.graph.input.some((input) => input.name === name)) return undefined;
    return this.#constants.get(name);
  }

  /** Adds a constant under this name, or under one made from it if it is taken. */
  add(name: string, tensor: TensorProto): string {
    const unique = this.unique(name);
    this.#constants.set(unique, { ...tensor, name: unique });
    return unique;
  }

  /** Appends a node with one output of this name, or of one made from it, and returns that. */
  node(
    opType: string,
    inputs: readonly string[],
    output: string,
    attributes: Attributes = {},
    domain?: string,
  ): string {
    const unique = this.unique(output);
    this.#added.push(nodeProto(opType, inputs, [unique], attributes, domain));
    return unique;
  }

  /** Appends a node as it is. */
  keep(node: NodeProto): void {
    this.#added.push(node);
  }

  unique(name: string): string {
    let unique = name;
    for (let count = 1; this.#names.has(unique); count += 1) unique = `${name}_${count}`;
    this.#names.add(unique);
    return unique;
  }

  /** The model with the nodes appended so far, and the constants that they use. */
  finish(domains: Readonly<Record<string, number>> = {}): ValidModel {
    const { graph, opsetImport } = this.#model;
    const used = new Set(graph.output.map(({ name }) => name ?? ''));
    for (const name of this.#added.flatMap(inputsOf)) used.add(name);
    const added = Object.entries(domains).filter(([domain]) => !opsetImport.some((opset) => opset.domain === domain));
    return {
      ...this.#model,
      opsetImport: [...opsetImport, ...added.map(([domain, version]) => ({ domain, version }))],
      graph: {
        ...graph,
        node: this.#added,
        initializer: [...this.#constants.values()].filter(({ name = '' }) => used.has(name)),
        // What exporters noted of values may not be so any more.
        valueInfo: [],
      },
    };
  }

  #takeConstant(node: NodeProto): boolean {
    const tensor = node.opType === 'Constant' && isStandard(node) ? constantTensor(node) : undefined;
    const [name = ''] = node.output;
    if (tensor === undefined || this.#model.graph.output.some((output) => output.name === name)) return false;
    this.#constants.set(name, { ...tensor, name });
    return true;
  }
}

/** Inputs of a node, with what its subgraphs may use of the graph around them. */
export function inputsOf(node: NodeProto): string[] {
  const inner = node.attribute.flatMap(({ g, graphs }) => [...(g === undefined ? [] : [g]), ...graphs]);
  return [...node.input, ...inner.flatMap(namesIn)];
}

/** How often each value is read, by nodes and as an output of the graph. */
export function readersOf(graph: Pick<GraphProto, 'output'>, nodes: readonly NodeProto[]): Map<string, number> {
  const readers = new Map<string, number>();
  for (const name of [...nodes.flatMap(inputsOf), ...graph.output.map((output) => output.name ?? '')]) {
    readers.set(name, (readers.get(name) ?? 0) + 1);
  }
  return readers;
}

function namesIn(graph: GraphProto): string[] {
  return [...graph.node.flatMap(inputsOf), ...graph.output.map((output) => output.name ?? '')];
}

function constantTensor(node: NodeProto): TensorProto | undefined {
  const floats = attributeOf(node, 'value_floats')?.floats ?? attributeOf(node, 'value_float')?.f;
  if (floats !== undefined) return float32(floats);
  const ints = attributeOf(node, 'value_ints')?.ints.map(Number);
  if (ints !== undefined) return int64(ints);
  const int = attributeOf(node, 'value_int')?.i;
  if (int !== undefined) return int64(Number(int));
  const tensor = tensorAttribute(node, 'value');
  return tensor?.dataType === DataType.STRING ? undefined : tensor;
}
