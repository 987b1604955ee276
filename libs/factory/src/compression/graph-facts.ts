import { bitsPerElement, inferShapes, sizeOf } from '@drover/onnx';
import type { GraphProto, InferredValue } from '@drover/onnx';

/** What is known of a graph before it runs. */
export interface GraphFacts {
  readonly graph: GraphProto;
  readonly shapes: Pick<ReadonlyMap<string, InferredValue>, 'get'>;
  /** Names of initialisers, and of what is computed from nothing else. */
  readonly constants: Pick<ReadonlySet<string>, 'has'>;
}

/** @param inputs shapes of inputs by name, where the graph leaves sizes open */
export function factsOf(graph: GraphProto, inputs: Readonly<Record<string, readonly number[]>>): GraphFacts {
  return { graph, shapes: inferShapes(graph, { inputs }), constants: constantsOf(graph) };
}

/** More than any machine has, and far from where sums of numbers stop being exact enough. */
export const ABSURD_BYTES = 2 ** 60;

/** Bytes of a value, 2⁶⁰ for any that is larger. */
export function bytesOf({ elementType, dims }: InferredValue): number {
  // Text has no fixed size; 32 bytes are its object.
  return Math.min(ABSURD_BYTES, Math.ceil((sizeOf(dims) * (bitsPerElement(elementType) ?? 256)) / 8));
}

function constantsOf(graph: GraphProto): Set<string> {
  const given = new Set(graph.input.map(({ name }) => name));
  const constants = new Set(graph.initializer.map(({ name = '' }) => name).filter((name) => !given.has(name)));
  for (const sparse of graph.sparseInitializer) constants.add(sparse.values?.name ?? '');
  for (const { opType = '', input, output, attribute } of graph.node) {
    const draws = opType.startsWith('Random') || opType === 'Bernoulli' || opType === 'Multinomial';
    const plain = attribute.every(({ g, graphs }) => g === undefined && graphs.length === 0);
    if (draws || !plain || !input.every((name) => name === '' || constants.has(name))) continue;
    for (const name of output) constants.add(name);
  }
  return constants;
}
