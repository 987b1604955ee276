import type { ValidModel } from '@drover/onnx';
import { UnaffordableModelError } from '../errors.ts';
import { costOf } from './cost-of.ts';
import { bytesOf, factsOf } from './graph-facts.ts';

/** For one window. A detector that needs more has no place beside a sensor, nor in a worker that others share. */
const MOST_BYTES = 2 ** 30;
const MIB = 2 ** 20;

/**
 * Refuses a graph whose values would not fit in memory, before ONNX Runtime tries: a file of a hundred bytes can ask for a
 * constant of a terabyte, which is made while the model is loaded.
 *
 * What depends on data that is only known while it runs is not seen; that fails in ONNX Runtime.
 *
 * @throws UnaffordableModelError naming the value
 */
export function refuseUnaffordable(
  model: ValidModel,
  shape: { readonly window: number; readonly channels: number },
  mostBytes = MOST_BYTES,
): void {
  const { shapes } = factsOf(model.graph, { window: [1, shape.window, shape.channels] });
  const allowed = `${Math.floor(mostBytes / MIB)} MiB are allowed.`;
  for (const name of model.graph.node.flatMap(({ output }) => output)) {
    const value = shapes.get(name);
    if (value === undefined || bytesOf(value) <= mostBytes) continue;
    const size = `${Math.round(bytesOf(value) / MIB)} MiB, [${value.dims.join(', ')}]`;
    throw new UnaffordableModelError(`The value ${JSON.stringify(name)} would take ${size}; ${allowed}`);
  }
  const { peakMemoryBytes } = costOf(model, shape);
  if (peakMemoryBytes > mostBytes) {
    throw new UnaffordableModelError(
      `The model would need about ${Math.round(peakMemoryBytes / MIB)} MiB of memory; ${allowed}`,
    );
  }
}
