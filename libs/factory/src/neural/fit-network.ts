import { setImmediate as nextTurn } from 'node:timers/promises';
import { CallerError } from '@drover/runtime';
import type { TrainingContext } from '../detector.ts';
import type { Layer } from '../network.ts';
import { NetworkEngine } from './network-engine.ts';
import type { BatchSlice, Objective } from './objective.ts';

/** The loss became infinite or no number at all: the learning rate is too large for this data. */
export class TrainingDivergedError extends CallerError {}

/** Normalised windows, and which of them are for what. */
export interface Samples {
  /** `[N, D]` */
  readonly inputs: Float32Array;
  readonly size: number;
  readonly train: Int32Array;
  /** Decides when to stop; may be empty, then all epochs are run. */
  readonly validation: Int32Array;
}

export interface FitOptions {
  readonly epochs: number;
  /** Of Adam at the start; it falls along half a cosine to a twentieth over all epochs. */
  readonly learningRate: number;
  /** Windows per step. */
  readonly batch: number;
  /** Epochs without a better validation loss before training stops. */
  readonly patience: number;
  /** Epochs after which it stops in any case, with the learning rate as if it went on. */
  readonly stopAfter?: number;
}

export interface Fitted {
  readonly layers: Layer[];
  /** How many epochs the weights have seen. */
  readonly epochs: number;
  /** Validation loss of these weights, or training loss where there is no validation. */
  readonly loss: number;
}

const LAST_RATE = 0.05;
/** More than this beside the first epoch's loss will not come down again. */
const DIVERGED = 1e4;

/**
 * Trains layers by Adam on shuffled mini-batches and gives the weights of the best epoch. Deterministic for the same
 * random numbers. Lets other work on this thread go on between epochs.
 *
 * @throws TrainingDivergedError; the signal's reason when aborted
 */
export async function fitNetwork(
  layers: readonly Layer[],
  samples: Samples,
  objective: Objective,
  options: FitOptions,
  random: () => number,
  { signal, onProgress }: Pick<TrainingContext, 'signal' | 'onProgress'> = {},
): Promise<Fitted> {
  const { epochs, learningRate, batch, patience, stopAfter = epochs } = options;
  const engine = new NetworkEngine(layers, samples.size, batch, 'train');
  const order = samples.train.slice();
  const best = { loss: Infinity, epochs: 0, parameters: engine.parameters.slice() };
  let first = Infinity;
  for (let epoch = 0; epoch < Math.min(epochs, stopAfter); epoch += 1) {
    await nextTurn();
    signal?.throwIfAborted();
    shuffle(order, random);
    const rate = learningRate * (LAST_RATE + ((1 - LAST_RATE) * (1 + Math.cos((Math.PI * epoch) / epochs))) / 2);
    const trainLoss = runEpoch(engine, samples, order, objective, batch, rate);
    const loss =
      samples.validation.length === 0 ? trainLoss : runEpoch(engine, samples, samples.validation, objective, batch);
    first = Math.min(first, trainLoss);
    if (!(trainLoss <= DIVERGED * Math.max(first, 1)) || !Number.isFinite(loss)) {
      throw new TrainingDivergedError(
        `Training diverged in epoch ${epoch + 1} (loss ${trainLoss}): use a learning rate under ${learningRate}.`,
      );
    }
    if (loss < best.loss || samples.validation.length === 0) {
      Object.assign(best, { loss, epochs: epoch + 1 });
      best.parameters.set(engine.parameters);
    }
    onProgress?.((epoch + 1) / Math.min(epochs, stopAfter), loss);
    if (epoch + 1 - best.epochs >= patience) break;
  }
  engine.parameters.set(best.parameters);
  return { layers: engine.layers(), epochs: best.epochs, loss: best.loss };
}

/** One pass over the windows; learns where a rate is given. @returns the mean loss */
function runEpoch(
  engine: NetworkEngine,
  { inputs, size }: Samples,
  indices: Int32Array,
  objective: Objective,
  batch: number,
  rate?: number,
): number {
  const slice: BatchSlice = { indices, from: 0, count: 0 };
  let sum = 0;
  for (slice.from = 0; slice.from < indices.length; slice.from += batch) {
    slice.count = Math.min(batch, indices.length - slice.from);
    gather(inputs, size, slice, engine.input);
    engine.forward(slice.count);
    sum += objective.evaluate(slice, engine.output, rate === undefined ? null : engine.outputGradients);
    if (rate === undefined) continue;
    engine.backward(slice.count);
    engine.step(rate);
  }
  return sum / indices.length;
}

/** What the layers make of all windows, `[N, outputs]`. */
export function runNetwork(layers: readonly Layer[], inputs: Float32Array, size: number): Float32Array {
  const count = inputs.length / size;
  const batch = Math.max(1, Math.min(count, 256));
  const engine = new NetworkEngine(layers, size, batch);
  const width = engine.output.length / batch;
  const outputs = new Float32Array(count * width);
  for (let from = 0; from < count; from += batch) {
    const some = Math.min(batch, count - from);
    engine.input.set(inputs.subarray(from * size, (from + some) * size));
    engine.forward(some);
    outputs.set(engine.output.subarray(0, some * width), from * width);
  }
  return outputs;
}

function gather(inputs: Float32Array, size: number, { indices, from, count }: BatchSlice, into: Float32Array): void {
  for (let n = 0; n < count; n += 1) {
    const source = indices[from + n]! * size;
    for (let i = 0, at = n * size; i < size; i += 1, at += 1) into[at] = inputs[source + i]!;
  }
}

/** Fisher–Yates. */
function shuffle(order: Int32Array, random: () => number): void {
  for (let i = order.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
}
