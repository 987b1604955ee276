import type { Conv1dLayer, Layer } from '../network.ts';

/**
 * A layer's weights as the right-hand side of a product, `[depth, outputs]`: as they are for a dense layer, tap by tap and
 * channel by channel for a convolution.
 */
export function toMatrix(layer: Layer, into: Float32Array): void {
  if (layer.kind === 'dense') into.set(layer.weights);
  else eachTap(layer, (matrix, tensor) => (into[matrix] = layer.weights[tensor]!));
}

/** The layer with weights from such a matrix, copied. */
export function withMatrix(layer: Layer, matrix: Float32Array, bias: Float32Array): Layer {
  if (layer.kind === 'dense') return { ...layer, weights: matrix.slice(), bias: bias.slice() };
  const weights = new Float32Array(layer.weights.length);
  eachTap(layer, (from, to) => (weights[to] = matrix[from]!));
  return { ...layer, weights, bias: bias.slice() };
}

function eachTap(
  { inputs, outputs, kernel }: Conv1dLayer,
  visit: (matrixIndex: number, tensorIndex: number) => void,
): void {
  for (let output = 0; output < outputs; output += 1) {
    for (let input = 0; input < inputs; input += 1) {
      for (let tap = 0; tap < kernel; tap += 1) {
        visit((tap * inputs + input) * outputs + output, (output * inputs + input) * kernel + tap);
      }
    }
  }
}
