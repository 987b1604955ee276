import { isStandard } from '@drover/onnx';
import type { NodeProto, ValidModel } from '@drover/onnx';
import type { GraphEditor } from './graph-editor.ts';
import { readersOf } from './graph-editor.ts';
import { weightProducts } from './weight-products.ts';
import type { WeightProduct } from './weight-products.ts';

/** What is quantised, and from which ranges. */
export interface Int8Plan {
  readonly products: ReadonlyMap<NodeProto, WeightProduct>;
  /** Values that go on in uint8 only: all their readers get the rounded ones. By the node that makes them. */
  readonly outputs: ReadonlyMap<NodeProto, string>;
  /** Names of the values that need a range. */
  readonly ranges: ReadonlySet<string>;
  /** Value → the value whose range is its own too, because the nodes between only move elements. */
  readonly rangeOf: (name: string) => string;
}

/** Operators that give elements of their input and no others. */
const MOVERS = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose', 'Identity', 'MaxPool']);

/** Every product, but for a convolution whose output is one of the graph: nobody could be given the rounded one instead. */
export function planInt8(model: ValidModel, editor: GraphEditor): Int8Plan {
  const readers = readersOf(model.graph, editor.nodes);
  const graphOutputs = new Set(model.graph.output.map(({ name }) => name));
  const producers = new Map(editor.nodes.map((node) => [node.output[0]!, node]));
  const products = new Map<NodeProto, WeightProduct>();
  const outputs = new Map<NodeProto, string>();
  for (const product of weightProducts(editor)) {
    const { node } = product;
    if (product.operator === 'Conv') {
      const last = withRelu(node, editor.nodes, readers);
      if (graphOutputs.has(last.output[0]!)) continue;
      outputs.set(last, last.output[0]!);
    }
    products.set(node, product);
  }
  const rounded = new Set(outputs.values());
  const rangeOf = (name: string): string => {
    for (let at = name; ;) {
      if (rounded.has(at)) return at;
      const producer = producers.get(at);
      if (producer === undefined || !isStandard(producer) || !MOVERS.has(producer.opType ?? '')) return name;
      at = producer.input[0]!;
    }
  };
  const ranges = new Set([...rounded, ...[...products.values()].map(({ activation }) => rangeOf(activation))]);
  return { products, outputs, ranges, rangeOf };
}

/** The Relu that alone reads what a node makes, or the node itself. */
function withRelu(node: NodeProto, nodes: readonly NodeProto[], readers: ReadonlyMap<string, number>): NodeProto {
  const [output = ''] = node.output;
  if (readers.get(output) !== 1) return node;
  return nodes.find((next) => next.opType === 'Relu' && isStandard(next) && next.input[0] === output) ?? node;
}
