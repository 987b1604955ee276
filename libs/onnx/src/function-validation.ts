import { InvalidModelError, ModelTooLargeError } from './errors.ts';
import type { FunctionProto, GraphProto, NodeProto } from './messages.ts';

/** A runtime replaces each call of a function by its body: more nodes than this no detector has. */
const MOST_EXPANDED_NODES = 1_000_000;

/**
 * Refuses functions that reach themselves, which would be expanded for ever, and such that become a mountain of nodes
 * although the file is small: each calling the next one twice.
 *
 * @throws InvalidModelError, ModelTooLargeError
 */
export function validateFunctions(functions: readonly FunctionProto[], graph: GraphProto): void {
  if (functions.length === 0) return;
  const calls = new Map(functions.map((body) => [keyOf(body, body.name), countCalls(body.node)]));
  if (calls.size !== functions.length) throw new InvalidModelError('functions: two have the same name.');
  const expanded = new Map<string, number>();
  // In rounds from those that call no function, and without recursion: a chain of calls may be as long as the file.
  const waiting = new Map<string, number>();
  const callers = new Map<string, string[]>();
  const ready: string[] = [];
  for (const [key, { called }] of calls) {
    const own = [...called.keys()].filter((other) => calls.has(other));
    waiting.set(key, own.length);
    if (own.length === 0) ready.push(key);
    for (const other of own) {
      const list = callers.get(other);
      if (list === undefined) callers.set(other, [key]);
      else list.push(key);
    }
  }
  for (let key = ready.pop(); key !== undefined; key = ready.pop()) {
    expanded.set(key, sizeOf(calls.get(key)!, expanded));
    for (const caller of callers.get(key) ?? []) {
      const left = waiting.get(caller)! - 1;
      waiting.set(caller, left);
      if (left === 0) ready.push(caller);
    }
  }
  const stuck = functions.find((body) => !expanded.has(keyOf(body, body.name)));
  if (stuck !== undefined) {
    throw new InvalidModelError(`functions: ${JSON.stringify(stuck.name ?? '')} calls itself, or one that does.`);
  }
  const total = sizeOf(countCalls(graph.node), expanded);
  if (total > MOST_EXPANDED_NODES) {
    throw new ModelTooLargeError(
      `functions: with all calls written out the graph has more than ${MOST_EXPANDED_NODES} nodes.`,
    );
  }
}

interface Calls {
  readonly nodes: number;
  /** How often each operator is called, by key; most are no functions. */
  readonly called: ReadonlyMap<string, number>;
}

function countCalls(nodes: readonly NodeProto[]): Calls {
  let count = 0;
  const called = new Map<string, number>();
  const visit = (list: readonly NodeProto[]): void => {
    for (const node of list) {
      const key = keyOf(node, node.opType);
      count += 1;
      called.set(key, (called.get(key) ?? 0) + 1);
      for (const { g, graphs } of node.attribute) {
        if (g !== undefined) visit(g.node);
        for (const inner of graphs) visit(inner.node);
      }
    }
  };
  visit(nodes);
  return { nodes: count, called };
}

function sizeOf({ nodes, called }: Calls, expanded: ReadonlyMap<string, number>): number {
  let size = nodes;
  for (const [key, count] of called) size += count * (expanded.get(key) ?? 0);
  return Math.min(size, 2 * MOST_EXPANDED_NODES);
}

function keyOf({ domain = '', overload = '' }: FunctionProto | NodeProto, name = ''): string {
  return `${domain === 'ai.onnx' ? '' : domain}\u0000${name}\u0000${overload}`;
}
