import type { Layer } from '../network.ts';
import { instantiateKernels } from './kernel-module.ts';
import type { KernelExports } from './kernel-module.ts';
import { planLayers } from './layer-shape.ts';
import type { LayerPlan } from './layer-shape.ts';
import { toMatrix, withMatrix } from './layer-weights.ts';
import { FLOAT_BYTES, padded, part, TensorMemory } from './tensor-memory.ts';
import type { Tensor } from './tensor-memory.ts';

/** One layer's place in the memory. */
interface EngineLayer extends LayerPlan {
  /** `[depth, outputs]` */
  readonly weights: Tensor;
  readonly bias: Tensor;
  readonly weightGradients: Tensor;
  readonly biasGradients: Tensor;
  /** `[outputs, depth]`: the weights for the way back. */
  readonly transposed: Tensor;
}

const BETA_1 = 0.9;
const BETA_2 = 0.999;
const EPSILON = 1e-8;

/**
 * Runs and trains a feed-forward network on batches of up to a fixed size. All numbers lie in one memory that is taken
 * once; a batch allocates nothing.
 */
export class NetworkEngine {
  /** `[batch, inputs]`: fill before `forward`. */
  readonly input: Float32Array;
  /** `[batch, outputs]`: read after `forward`. */
  readonly output: Float32Array;
  /** `[batch, outputs]`: fill before `backward`. Empty in an engine that only runs. */
  readonly outputGradients: Float32Array;
  /** All weights and biases: to look at, keep and bring back. */
  readonly parameters: Float32Array;
  /** In the order of `parameters`. */
  readonly gradients: Float32Array;
  readonly #kernels: KernelExports;
  readonly #layers: readonly EngineLayer[];
  /** What goes into each layer, and what comes out of the last. */
  readonly #values: readonly Tensor[];
  /** Gradients by these. */
  readonly #deltas: readonly Tensor[];
  readonly #adam: readonly Tensor[];
  readonly #source: readonly Layer[];
  #steps = 0;

  /** @param batch windows at a time, at most */
  constructor(layers: readonly Layer[], inputSize: number, batch: number, mode: 'train' | 'run' = 'run') {
    const plans = planLayers(layers, inputSize);
    const training = (length: number): number => (mode === 'train' ? length : 0);
    const sizes = [inputSize, ...plans.map(({ outputSize }) => outputSize)].map((size) => size * batch);
    const matrices = plans.map(({ depth, outputs }) => depth * outputs);
    const count = plans.reduce((sum, { outputs }, index) => sum + padded(matrices[index]!) + padded(outputs), 0);
    // Weights, gradients and two moments.
    const blocks = [count, training(count), training(count), training(count)];
    const memory = new TensorMemory([...blocks, ...sizes, ...sizes.map(training), ...matrices.map(training)]);
    this.#adam = blocks.map((length) => memory.take(length));
    this.#values = sizes.map((size) => memory.take(size));
    this.#deltas = sizes.map((size) => memory.take(training(size)));
    const [parameters, gradients] = this.#adam as [Tensor, Tensor];
    let at = 0;
    const next = (length: number): [Tensor, Tensor] => {
      const from = at;
      at += padded(length);
      return [part(parameters, from, length), part(gradients, from, training(length))];
    };
    this.#layers = plans.map((plan, index) => {
      const [weights, weightGradients] = next(matrices[index]!);
      const [bias, biasGradients] = next(plan.outputs);
      const transposed = memory.take(training(matrices[index]!));
      return { ...plan, weights, bias, weightGradients, biasGradients, transposed };
    });
    this.#kernels = instantiateKernels(memory.memory);
    this.#source = layers;
    this.input = this.#values[0]!.data;
    this.output = this.#values.at(-1)!.data;
    this.outputGradients = this.#deltas.at(-1)!.data;
    this.parameters = parameters.data;
    this.gradients = gradients.data;
    for (const [index, { weights, bias }] of this.#layers.entries()) {
      toMatrix(layers[index]!, weights.data);
      bias.data.set(layers[index]!.bias);
    }
  }

  /** The output of the first `count` windows of the input. */
  forward(count: number): void {
    for (let index = 0; index < this.#layers.length; index += 1) {
      const layer = this.#layers[index]!;
      const { depth, outputs, rowStep, weights } = layer;
      const x = this.#values[index]!;
      const y = this.#values[index + 1]!;
      fillRows(y.data, layer.bias.data, count * layer.rows);
      const [products, rows] = productsOf(layer, count);
      for (let n = 0; n < products; n += 1) {
        const from = x.at + n * layer.inputSize * FLOAT_BYTES;
        const to = y.at + n * layer.outputSize * FLOAT_BYTES;
        this.#multiply(rows, outputs, depth, from, rowStep, 1, weights.at, outputs, to, outputs);
      }
      if (layer.shape.activation === 'relu') rectify(y.data, count * layer.outputSize);
    }
  }

  /** Gradients of all weights, from `outputGradients` of the `count` windows that went forward last. */
  backward(count: number): void {
    for (let index = this.#layers.length - 1; index >= 0; index -= 1) {
      const layer = this.#layers[index]!;
      const { depth, outputs, rowStep, transposed } = layer;
      const x = this.#values[index]!;
      const delta = this.#deltas[index + 1]!;
      const deltaBefore = this.#deltas[index]!;
      if (layer.shape.activation === 'relu') {
        silence(delta.data, this.#values[index + 1]!.data, count * layer.outputSize);
      }
      sumRows(delta.data, count * layer.rows, layer.biasGradients.data);
      layer.weightGradients.data.fill(0);
      // Nobody asks for the gradient by the window itself.
      if (index > 0) {
        deltaBefore.data.fill(0, 0, count * layer.inputSize);
        transpose(layer.weights.data, depth, outputs, transposed.data);
      }
      const [products, rows] = productsOf(layer, count);
      for (let n = 0; n < products; n += 1) {
        const input = n * layer.inputSize * FLOAT_BYTES;
        const d = delta.at + n * layer.outputSize * FLOAT_BYTES;
        const gradients = layer.weightGradients.at;
        this.#multiply(depth, outputs, rows, x.at + input, 1, rowStep, d, outputs, gradients, outputs);
        if (index === 0) continue;
        this.#multiply(rows, depth, outputs, d, outputs, 1, transposed.at, depth, deltaBefore.at + input, rowStep);
      }
    }
  }

  /** Moves all weights against their gradients. @see KernelExports.adam */
  step(learningRate: number): void {
    this.#steps += 1;
    const correction1 = 1 - BETA_1 ** this.#steps;
    const correction2 = Math.sqrt(1 - BETA_2 ** this.#steps);
    const [weights, gradients, first, second] = this.#adam as [Tensor, Tensor, Tensor, Tensor];
    const rate = (learningRate * correction2) / correction1;
    const places = [weights.at, gradients.at, first.at, second.at] as const;
    this.#kernels.adam(weights.data.length, ...places, rate, EPSILON * correction2, BETA_1, BETA_2);
  }

  /** The layers as they are now, copied. */
  layers(): Layer[] {
    return this.#layers.map(({ weights, bias }, index) => withMatrix(this.#source[index]!, weights.data, bias.data));
  }

  /** C[m, n] += A[m, k] · B[k, n]; addresses in bytes, strides in numbers. */
  #multiply(
    m: number,
    n: number,
    k: number,
    a: number,
    aRowStride: number,
    aColumnStride: number,
    b: number,
    bRowStride: number,
    c: number,
    cRowStride: number,
  ): void {
    this.#kernels.gemm(
      m,
      n,
      k,
      a,
      aRowStride * FLOAT_BYTES,
      aColumnStride * FLOAT_BYTES,
      b,
      bRowStride * FLOAT_BYTES,
      c,
      cRowStride * FLOAT_BYTES,
    );
  }
}

/** A dense layer is one product over the whole batch, a convolution one per window. */
function productsOf({ shape, rows }: LayerPlan, count: number): readonly [products: number, rows: number] {
  return shape.kind === 'dense' ? [1, count] : [count, rows];
}

function fillRows(data: Float32Array, row: Float32Array, rows: number): void {
  const width = row.length;
  for (let at = 0; at < rows * width; at += width) for (let i = 0; i < width; i += 1) data[at + i] = row[i]!;
}

function sumRows(data: Float32Array, rows: number, into: Float32Array): void {
  const width = into.length;
  into.fill(0);
  for (let at = 0; at < rows * width; at += width) for (let i = 0; i < width; i += 1) into[i]! += data[at + i]!;
}

function rectify(data: Float32Array, length: number): void {
  for (let i = 0; i < length; i += 1) if (data[i]! < 0) data[i] = 0;
}

/** Nothing goes back through an output that was cut off. */
function silence(gradients: Float32Array, values: Float32Array, length: number): void {
  for (let i = 0; i < length; i += 1) if (values[i] === 0) gradients[i] = 0;
}

function transpose(from: Float32Array, rows: number, columns: number, into: Float32Array): void {
  for (let r = 0; r < rows; r += 1) for (let c = 0; c < columns; c += 1) into[c * rows + r] = from[r * columns + c]!;
}
