/** A matrix whose smaller weights were set to zero, and what went through the layer. */
export interface SparseLayer {
  /** `[inputs, outputs]`, before. */
  readonly dense: Float64Array;
  /** `[inputs, outputs]`, with zeros. */
  readonly sparse: Float64Array;
  readonly inputs: number;
  readonly outputs: number;
  /** `[rows, inputs]`: what came in. */
  readonly activations: Float32Array;
  /** Whether there is a bias to shift. */
  readonly hasBias: boolean;
}

export interface Refit {
  /** `[inputs, outputs]`: as `sparse`, other values where it is not zero. */
  readonly weights: Float64Array;
  /** `[outputs]`: to be added to the bias. */
  readonly shift: Float64Array;
}

/** Part of the mean diagonal that holds weights near what they were. */
const RIDGE = 0.01;
const STEPS = 20;
/** Layers that would take longer (in multiplications) stay as they are. */
const MOST_WORK = 4e9;

/**
 * Lets the weights that are left make up for those that are gone: for each output the least squares solution of
 * "sparse layer = dense layer" on what really comes in, with a ridge towards the old weights, by conjugate gradients. The
 * idea of layer-wise reconstruction is that of E. Frantar and D. Alistarh, "Optimal Brain Compression", 2022.
 *
 * Fitted on the rows with an even number and tried on the others: undefined where it does not help there, or would take too
 * long.
 */
export function refitWeights(layer: SparseLayer): Refit | undefined {
  const { dense, sparse, inputs, outputs, activations } = layer;
  const rows = activations.length / inputs;
  const kept = sparse.reduce((count, value) => count + (value === 0 ? 0 : 1), 0) / outputs;
  if (rows < 4 || STEPS * kept * kept * outputs + (rows * inputs * inputs) / 2 > MOST_WORK) return undefined;
  const gram = gramOf(activations, inputs, 0);
  const ridge = RIDGE * meanDiagonal(gram, inputs + 1);
  const weights = Float64Array.from(sparse);
  const shift = new Float64Array(outputs);
  for (let output = 0; output < outputs; output += 1) {
    // The constant input, which a bias belongs to, comes last and is always kept.
    const own = [...indicesOf(sparse, inputs, outputs, output), ...(layer.hasBias ? [inputs] : [])];
    const target = own.map((row) => {
      let sum = 0;
      for (let i = 0; i < inputs; i += 1) {
        const gone = dense[i * outputs + output]! - sparse[i * outputs + output]!;
        if (gone !== 0) sum += gram[row * (inputs + 1) + i]! * gone;
      }
      return sum;
    });
    const change = solve(gram, inputs + 1, own, Float64Array.from(target), ridge);
    for (const [k, index] of own.entries()) {
      if (index === inputs) shift[output] = change[k]!;
      else weights[index * outputs + output]! += change[k]!;
    }
  }
  const test = gramOf(activations, inputs, 1);
  const before = errorOf(test, layer, sparse, new Float64Array(outputs));
  return errorOf(test, layer, weights, shift) < before ? { weights, shift } : undefined;
}

/** Products of all inputs with each other and with a constant 1, `[inputs + 1, inputs + 1]`, over every other row. */
function gramOf(activations: Float32Array, inputs: number, first: number): Float64Array {
  const size = inputs + 1;
  const gram = new Float64Array(size * size);
  const row = new Float64Array(size);
  row[inputs] = 1;
  for (let at = first * inputs; at + inputs <= activations.length; at += 2 * inputs) {
    row.set(activations.subarray(at, at + inputs));
    for (let i = 0; i < size; i += 1) {
      const value = row[i]!;
      if (value === 0) continue;
      for (let j = 0; j <= i; j += 1) gram[i * size + j]! += value * row[j]!;
    }
  }
  for (let i = 0; i < size; i += 1) for (let j = 0; j < i; j += 1) gram[j * size + i] = gram[i * size + j]!;
  return gram;
}

function indicesOf(sparse: Float64Array, inputs: number, outputs: number, output: number): number[] {
  const indices: number[] = [];
  for (let i = 0; i < inputs; i += 1) if (sparse[i * outputs + output] !== 0) indices.push(i);
  return indices;
}

function meanDiagonal(matrix: Float64Array, size: number): number {
  let sum = 0;
  for (let i = 0; i < size; i += 1) sum += matrix[i * size + i]!;
  return sum / size;
}

/** Conjugate gradients for (G + ridge) x = b, on some of the rows and columns of G. */
function solve(
  gram: Float64Array,
  size: number,
  own: readonly number[],
  target: Float64Array,
  ridge: number,
): Float64Array {
  const count = own.length;
  const x = new Float64Array(count);
  const residual = Float64Array.from(target);
  const direction = Float64Array.from(target);
  const image = new Float64Array(count);
  let power = dot(residual, residual);
  const enough = power * 1e-12;
  for (let step = 0; step < STEPS && power > enough; step += 1) {
    for (let i = 0; i < count; i += 1) {
      const row = own[i]! * size;
      let sum = ridge * direction[i]!;
      for (let j = 0; j < count; j += 1) sum += gram[row + own[j]!]! * direction[j]!;
      image[i] = sum;
    }
    const length = power / dot(direction, image);
    if (!Number.isFinite(length)) break;
    for (let i = 0; i < count; i += 1) {
      x[i]! += length * direction[i]!;
      residual[i]! -= length * image[i]!;
    }
    const next = dot(residual, residual);
    for (let i = 0; i < count; i += 1) direction[i] = residual[i]! + (next / power) * direction[i]!;
    power = next;
  }
  return x;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i]! * b[i]!;
  return sum;
}

/** Squared difference of what both layers give, from the products of the inputs. */
function errorOf(gram: Float64Array, layer: SparseLayer, weights: Float64Array, shift: Float64Array): number {
  const { dense, inputs, outputs } = layer;
  const size = inputs + 1;
  let error = 0;
  const off = new Float64Array(size);
  for (let output = 0; output < outputs; output += 1) {
    for (let i = 0; i < inputs; i += 1) off[i] = weights[i * outputs + output]! - dense[i * outputs + output]!;
    off[inputs] = shift[output]!;
    for (let i = 0; i < size; i += 1) {
      if (off[i] === 0) continue;
      let sum = 0;
      for (let j = 0; j < size; j += 1) sum += gram[i * size + j]! * off[j]!;
      error += off[i]! * sum;
    }
  }
  return error;
}
