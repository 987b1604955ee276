import type { GraphProto, NodeProto, ValidModel } from '@drover/onnx';
import { UnaffordableModelError } from '../errors.ts';
import { costOf } from './cost-of.ts';
import { bytesOf, factsOf } from './graph-facts.ts';
import type { GraphFacts } from './graph-facts.ts';

/** For one window. A detector that needs more has no place beside a sensor, nor in a worker that others share. */
const MOST_BYTES = 2 ** 30;
const MIB = 2 ** 20;
/** For one window: seconds of a processor core. Nothing can stop ONNX Runtime within a run. */
const MOST_MULTIPLY_ACCUMULATES = 1e11;
/** Operators whose result can be as large as one of their inputs says. */
const GROWING = new Set([
  'CenterCropPad',
  'Col2Im',
  'ConstantOfShape',
  'Expand',
  'MaxUnpool',
  'OneHot',
  'Pad',
  'RandomNormal',
  'RandomUniform',
  'Range',
  'Resize',
  'Tile',
  'Upsample',
]);

/**
 * Refuses a graph whose values would not fit in memory, before ONNX Runtime tries: a file of a hundred bytes can ask for a
 * constant of a terabyte, which is made while the model is loaded.
 *
 * So are sizes and repetitions that only show while it runs: memory that ONNX Runtime takes counts towards the process and no
 * limit of a thread, and a run cannot be interrupted.
 *
 * @throws UnaffordableModelError naming the value or the operator
 */
export function refuseUnaffordable(
  model: ValidModel,
  shape: { readonly window: number; readonly channels: number },
  mostBytes = MOST_BYTES,
): void {
  const facts = factsOf(model.graph, { window: [1, shape.window, shape.channels] });
  const { shapes } = facts;
  const allowed = `${Math.floor(mostBytes / MIB)} MiB are allowed.`;
  for (const name of model.graph.node.flatMap(({ output }) => output)) {
    const value = shapes.get(name);
    if (value === undefined || bytesOf(value) <= mostBytes) continue;
    const size = `${Math.round(bytesOf(value) / MIB)} MiB, [${value.dims.join(', ')}]`;
    throw new UnaffordableModelError(`The value ${JSON.stringify(name)} would take ${size}; ${allowed}`);
  }
  refuseOpenEnds(model, facts);
  const prepared = preparedBytesOf(facts);
  if (prepared > mostBytes) {
    throw new UnaffordableModelError(
      `Weights would take ${Math.round(prepared / MIB)} MiB, as each operator prepares its own; ${allowed}`,
    );
  }
  const { peakMemoryBytes, multiplyAccumulates } = costOf(model, shape);
  if (multiplyAccumulates > MOST_MULTIPLY_ACCUMULATES) {
    const count = multiplyAccumulates.toExponential(1);
    const most = MOST_MULTIPLY_ACCUMULATES.toExponential(0);
    throw new UnaffordableModelError(`One window takes ${count} multiplications; ${most} are allowed.`);
  }
  if (peakMemoryBytes > mostBytes) {
    throw new UnaffordableModelError(
      `The model would need about ${Math.round(peakMemoryBytes / MIB)} MiB of memory; ${allowed}`,
    );
  }
}

function refuseOpenEnds(model: ValidModel, { shapes }: GraphFacts): void {
  // Shapes are only inferred in the graph itself: inside of a body every size is open.
  const inside = [
    ...model.functions.flatMap(({ node }) => withBodies(node)),
    ...model.graph.node.flatMap((node) => bodiesOf(node).flatMap(({ node: nodes }) => withBodies(nodes))),
  ];
  const open = model.graph.node.filter(({ output }) => output.some((name) => name !== '' && !shapes.get(name)));
  for (const { opType = '', name = '' } of [...open, ...inside]) {
    if (!GROWING.has(opType)) continue;
    throw new UnaffordableModelError(
      `How large the result of ${opType} ${JSON.stringify(name)} is cannot be told before it runs: give it a constant size, in the graph itself.`,
    );
  }
  const loop = [...model.graph.node, ...inside].find(({ opType }) => opType === 'Loop');
  if (loop === undefined) return;
  throw new UnaffordableModelError(
    `How long Loop ${JSON.stringify(loop.name ?? '')} runs cannot be told before it runs: unroll it, or use Scan.`,
  );
}

function withBodies(nodes: readonly NodeProto[]): NodeProto[] {
  return nodes.flatMap((node) => [node, ...bodiesOf(node).flatMap(({ node: inner }) => withBodies(inner))]);
}

function bodiesOf({ attribute }: NodeProto): GraphProto[] {
  return attribute.flatMap(({ g, graphs }) => (g === undefined ? graphs : [g, ...graphs]));
}

/** ONNX Runtime packs a weight anew for each operator that uses it: many can share one that is large. */
function preparedBytesOf({ graph, shapes, constants }: GraphFacts): number {
  let bytes = 0;
  for (const { input } of graph.node) {
    for (const name of input) {
      const value = constants.has(name) ? shapes.get(name) : undefined;
      if (value !== undefined) bytes += bytesOf(value);
    }
  }
  return bytes;
}
