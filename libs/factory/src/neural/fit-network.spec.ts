import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { NotEnoughDataError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import { fitNetwork, runNetwork, TrainingDivergedError } from './fit-network.ts';
import type { Samples } from './fit-network.ts';
import { initialLayers } from './layer-shape.ts';
import type { LayerShape } from './layer-shape.ts';
import { SquaredError } from './objective.ts';

const SIZE = 6;
const COUNT = 200;
const SHAPES: readonly LayerShape[] = [
  { kind: 'dense', inputs: SIZE, outputs: 12, activation: 'relu' },
  { kind: 'dense', inputs: 12, outputs: SIZE, activation: 'linear' },
];
const OPTIONS = { epochs: 60, learningRate: 1e-2, batch: 16, patience: 60 };

/** Points on a curve: what one number decides can be reconstructed. */
function curve(): Samples {
  const random = seededRandom(1);
  const inputs = new Float32Array(COUNT * SIZE);
  for (let n = 0; n < COUNT; n += 1) {
    const t = random() * 4 - 2;
    inputs.set([t, t * t, -t, Math.abs(t), 1 - t, Math.max(0, t)], n * SIZE);
  }
  const indices = Int32Array.from({ length: COUNT }, (_, n) => n);
  return { inputs, size: SIZE, train: indices.subarray(0, 150), validation: indices.subarray(150) };
}

const samples = curve();
const objective = new SquaredError(samples.inputs, SIZE);

function fit(options: Partial<typeof OPTIONS>, signal?: AbortSignal, onProgress?: (f: number, loss?: number) => void) {
  const random = seededRandom(7);
  const layers = initialLayers(SHAPES, random);
  return fitNetwork(layers, samples, objective, { ...OPTIONS, ...options }, random, { signal, onProgress });
}

describe('training a network', () => {
  it('learns what can be learned, also for windows that it did not see', async () => {
    const losses: number[] = [];
    const { layers, loss } = await fit({}, undefined, (_, value) => losses.push(value!));
    expect(loss).toBeLessThan(losses[0]! / 50);
    const outputs = runNetwork(layers, samples.inputs, SIZE);
    const held = samples.inputs.subarray(150 * SIZE);
    const error = held.reduce((sum, value, i) => sum + (value - outputs[150 * SIZE + i]!) ** 2, 0) / held.length;
    expect(error).toBeCloseTo(loss, 4);
  });

  it('keeps the weights of the best epoch and stops when there is none better for a while', async () => {
    const losses: number[] = [];
    const { loss, epochs } = await fit({ learningRate: 0.2, epochs: 200, patience: 5 }, undefined, (_, value) =>
      losses.push(value!),
    );
    expect(loss).toBe(Math.min(...losses));
    expect(losses[epochs - 1]).toBe(loss);
    expect(losses.length).toBe(epochs + 5);
  });

  it('says so when the loss runs away', async () => {
    await expect(fit({ learningRate: 1e8 })).rejects.toThrow(TrainingDivergedError);
  });

  it('lets other work go on, and stops between epochs when asked to', async () => {
    const controller = new AbortController();
    let epochs = 0;
    const training = fit({ epochs: 10_000, patience: 10_000 }, controller.signal, () => (epochs += 1));
    for (let turn = 0; turn < 20; turn += 1) await nextTurn();
    controller.abort(new NotEnoughDataError('stop'));
    await expect(training).rejects.toThrow('stop');
    expect(epochs).toBeGreaterThan(2);
    expect(epochs).toBeLessThan(200);
  });
});
