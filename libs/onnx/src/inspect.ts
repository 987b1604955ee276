import type { GraphProto, ModelProto, NodeProto, TensorProto } from './messages.ts';
import { elementCount } from './tensor.ts';

/** Every node, those in subgraphs and functions included. */
export function allNodes(model: ModelProto): NodeProto[] {
  return [
    ...(model.graph ? nodesOf(model.graph) : []),
    ...model.functions.flatMap((definition) => definition.node.flatMap(withSubgraphs)),
  ];
}

/** How often each operator occurs; other domains than the standard one are prefixed (`com.microsoft.QGemm`). */
export function operatorCounts(model: ModelProto): Map<string, number> {
  const counts = new Map<string, number>();
  for (const node of allNodes(model)) {
    const domain = node.domain ?? '';
    const name = domain === '' || domain === 'ai.onnx' ? (node.opType ?? '') : `${domain}.${node.opType ?? ''}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** The initialiser of that name in the main graph. */
export function initializerOf(graph: GraphProto, name: string): TensorProto | undefined {
  return graph.initializer.find((tensor) => tensor.name === name);
}

/** Elements in all initialisers of the main graph: weights, and the few constants beside them. */
export function parameterCount(model: ModelProto): number {
  return (model.graph?.initializer ?? []).reduce((sum, tensor) => sum + elementCount(tensor.dims), 0);
}

function nodesOf(graph: GraphProto): NodeProto[] {
  return graph.node.flatMap(withSubgraphs);
}

function withSubgraphs(node: NodeProto): NodeProto[] {
  const graphs = node.attribute.flatMap((attribute) => [...(attribute.g ? [attribute.g] : []), ...attribute.graphs]);
  return [node, ...graphs.flatMap(nodesOf)];
}
