import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.ts';
import { initialLayers } from './layer-shape.ts';
import type { LayerShape } from './layer-shape.ts';
import { NetworkEngine } from './network-engine.ts';
import { SquaredError } from './objective.ts';

const WINDOW = 8;
const CHANNELS = 3;
const SIZE = WINDOW * CHANNELS;
const COUNT = 5;

const NETWORKS: Readonly<Record<string, readonly LayerShape[]>> = {
  dense: [
    { kind: 'dense', inputs: SIZE, outputs: 7, activation: 'relu' },
    { kind: 'dense', inputs: 7, outputs: 4, activation: 'linear' },
    { kind: 'dense', inputs: 4, outputs: SIZE, activation: 'linear' },
  ],
  convolutional: [
    { kind: 'conv1d', inputs: CHANNELS, outputs: 6, kernel: 3, stride: 1, activation: 'relu' },
    { kind: 'conv1d', inputs: 6, outputs: 5, kernel: 3, stride: 2, activation: 'relu' },
    { kind: 'dense', inputs: 10, outputs: SIZE, activation: 'linear' },
  ],
};

function example(shapes: readonly LayerShape[], seed: number) {
  const random = seededRandom(seed);
  const layers = initialLayers(shapes, random).map((layer) => ({
    ...layer,
    bias: layer.bias.map(() => random() - 0.5),
  }));
  const inputs = new Float32Array(COUNT * SIZE).map(() => random() * 4 - 2);
  return { layers, inputs };
}

/** The layers straight from their definition. */
function plainForward({ layers, inputs }: ReturnType<typeof example>): number[][] {
  return Array.from({ length: COUNT }, (_, n) => {
    let x = Array.from(inputs.subarray(n * SIZE, (n + 1) * SIZE));
    for (const layer of layers) {
      const y: number[] = [];
      if (layer.kind === 'dense') {
        for (let o = 0; o < layer.outputs; o += 1) {
          y.push(x.reduce((sum, value, i) => sum + value * layer.weights[i * layer.outputs + o]!, layer.bias[o]!));
        }
      } else {
        for (let t = 0; t + layer.kernel <= x.length / layer.inputs; t += layer.stride) {
          for (let o = 0; o < layer.outputs; o += 1) {
            let sum = layer.bias[o]!;
            for (let c = 0; c < layer.inputs; c += 1) {
              for (let tap = 0; tap < layer.kernel; tap += 1) {
                sum += x[(t + tap) * layer.inputs + c]! * layer.weights[(o * layer.inputs + c) * layer.kernel + tap]!;
              }
            }
            y.push(sum);
          }
        }
      }
      x = layer.activation === 'relu' ? y.map((value) => Math.max(0, value)) : y;
    }
    return x;
  });
}

describe.each(Object.entries(NETWORKS))('a %s network', (_, shapes) => {
  it('computes what its layers are defined as', () => {
    const some = example(shapes, 1);
    const engine = new NetworkEngine(some.layers, SIZE, COUNT);
    engine.input.set(some.inputs);
    engine.forward(COUNT);
    for (const [i, expected] of plainForward(some).flat().entries()) expect(engine.output[i]).toBeCloseTo(expected, 4);
  });

  it('has the gradients that small changes of its weights show', () => {
    const { layers, inputs } = example(shapes, 2);
    const engine = new NetworkEngine(layers, SIZE, COUNT, 'train');
    const objective = new SquaredError(inputs, SIZE);
    const slice = { indices: Int32Array.from({ length: COUNT }, (__, n) => n), from: 0, count: COUNT };
    engine.input.set(inputs);
    const loss = (): number => {
      engine.forward(COUNT);
      return objective.evaluate(slice, engine.output, null) / COUNT;
    };
    engine.forward(COUNT);
    objective.evaluate(slice, engine.output, engine.outputGradients);
    engine.backward(COUNT);
    const analytic = engine.gradients.slice();
    const largest = Math.max(...analytic.map(Math.abs));
    const step = 1 / 256;
    for (const [i, value] of engine.parameters.slice().entries()) {
      engine.parameters[i] = value + step;
      const above = loss();
      engine.parameters[i] = value - step;
      const below = loss();
      engine.parameters[i] = value;
      expect(Math.abs((above - below) / (2 * step) - analytic[i]!)).toBeLessThan(0.01 * largest);
    }
  });

  it('keeps its weights on the way in and out', () => {
    const { layers } = example(shapes, 3);
    expect(new NetworkEngine(layers, SIZE, COUNT).layers()).toEqual(layers);
  });
});
