import type { NodeProto } from '@drover/onnx';
import { ABSURD_BYTES, bytesOf } from './graph-facts.ts';
import type { GraphFacts } from './graph-facts.ts';
import { inputsOf } from './graph-editor.ts';

/** Give their input under another name or shape, without a copy. */
const VIEWS = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Identity', 'Dropout', 'DequantizeLinear']);

/**
 * Bytes of the constants that stay, and of the largest set of values that live at one time when nodes run in their order.
 *
 * Constants that are only used to compute other constants are gone after loading. A dequantised value is counted as the
 * integers it comes from: fused, it never exists.
 */
export function peakMemoryOf(facts: GraphFacts): number {
  const roots = rootsOf(facts);
  return constantBytes(facts, roots) + activationBytes(facts, roots);
}

/** Value → the value whose memory it is. */
function rootsOf({ graph }: GraphFacts): (name: string) => string {
  const roots = new Map<string, string>();
  const rootOf = (name: string): string => roots.get(name) ?? name;
  for (const { opType = '', input, output } of graph.node) {
    if (VIEWS.has(opType) && input[0] !== undefined && output[0] !== undefined) roots.set(output[0], rootOf(input[0]));
  }
  return rootOf;
}

function constantBytes({ graph, shapes, constants }: GraphFacts, rootOf: (name: string) => string): number {
  const staying = new Set<string>();
  for (const node of graph.node) {
    if (node.output.every((name) => constants.has(name))) continue;
    for (const name of inputsOf(node)) if (constants.has(name)) staying.add(rootOf(name));
  }
  for (const { name = '' } of graph.output) if (constants.has(name)) staying.add(rootOf(name));
  let sum = 0;
  for (const name of staying) {
    const value = shapes.get(name);
    if (value !== undefined) sum += bytesOf(value);
  }
  return sum;
}

function activationBytes({ graph, shapes, constants }: GraphFacts, rootOf: (name: string) => string): number {
  const live = graph.node.filter((node) => !node.output.every((name) => constants.has(name)));
  const lastUse = new Map<string, number>();
  for (const [index, node] of live.entries()) {
    for (const name of [...inputsOf(node), ...node.output]) lastUse.set(rootOf(name), index);
  }
  // Outputs, and inputs which belong to the caller, are there to the end.
  for (const { name = '' } of [...graph.output, ...graph.input]) lastUse.set(rootOf(name), Infinity);
  const endings = Map.groupBy(lastUse.keys(), (name) => lastUse.get(name)!);

  const sizes = new Map<string, number>();
  for (const { name = '' } of graph.input) {
    const value = shapes.get(name);
    if (value !== undefined && !constants.has(name)) sizes.set(name, bytesOf(value));
  }
  let now = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  let peak = now;
  for (const [index, node] of live.entries()) {
    for (const name of node.output) {
      if (name === '' || rootOf(name) !== name) continue;
      const value = shapes.get(name);
      const size = value === undefined ? guessed(node, sizes, shapes, rootOf) : bytesOf(value);
      sizes.set(name, size);
      now += size;
    }
    peak = Math.max(peak, now);
    for (const name of endings.get(index) ?? []) now -= sizes.get(name) ?? 0;
  }
  return peak;
}

/** As much as goes in. */
function guessed(
  node: NodeProto,
  sizes: ReadonlyMap<string, number>,
  shapes: GraphFacts['shapes'],
  rootOf: (name: string) => string,
): number {
  let sum = 0;
  for (const name of inputsOf(node)) {
    const value = shapes.get(name);
    sum += sizes.get(rootOf(name)) ?? (value === undefined ? 0 : bytesOf(value));
  }
  return Math.min(ABSURD_BYTES, sum);
}
