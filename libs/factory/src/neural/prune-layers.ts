import type { Conv1dLayer, DenseLayer, Layer } from '../network.ts';
import { runNetwork } from './fit-network.ts';

/** Products are computed in blocks of so many: a layer is not left with a few over. */
const BLOCK = 4;

/**
 * Removes whole neurons and filters: of every layer but the last and the code (the narrowest, without Relu) the share that
 * matters least on these windows. What a removed one gave on average goes into the bias of the layer after it.
 *
 * A neuron's weight in the matter is the deviation of its output times the norm of all weights that read it.
 * Source: the idea of "outgoing weights × activation" as in H. Hu et al., "Network trimming", 2016, with deviations in place
 * of frequencies, because a mean can be made up for.
 *
 * @param inputs normalised windows, `[N, size]`
 * @param share 0 to 1, of the neurons of each layer
 */
export function pruneLayers(layers: readonly Layer[], inputs: Float32Array, size: number, share: number): Layer[] {
  const pruned = [...layers];
  for (let index = 0; index + 1 < pruned.length; index += 1) {
    const layer = pruned[index]!;
    if (layer.activation === 'linear') continue;
    const next = pruned[index + 1]!;
    const { means, deviations } = statisticsOf(runNetwork(pruned.slice(0, index + 1), inputs, size), layer.outputs);
    const norms = readerNorms(next, layer.outputs);
    const kept = mostImportant(
      deviations.map((deviation, j) => deviation * norms[j]!),
      share,
    );
    pruned[index] = withOutputs(layer, kept);
    pruned[index + 1] = withInputs(next, layer.outputs, kept, means);
  }
  return pruned;
}

/** How many of so many outputs stay. */
export function keptCount(outputs: number, share: number): number {
  const exact = outputs * (1 - share);
  const count = outputs >= 4 * BLOCK ? Math.round(exact / BLOCK) * BLOCK : Math.round(exact);
  return Math.min(outputs, Math.max(1, count));
}

function mostImportant(importance: Float64Array, share: number): number[] {
  return [...importance.keys()]
    .toSorted((a, b) => importance[b]! - importance[a]! || a - b)
    .slice(0, keptCount(importance.length, share))
    .toSorted((a, b) => a - b);
}

/** Per neuron or filter, over windows and time. */
function statisticsOf(values: Float32Array, outputs: number): { means: Float64Array; deviations: Float64Array } {
  const rows = values.length / outputs;
  const means = new Float64Array(outputs);
  const deviations = new Float64Array(outputs);
  for (let i = 0; i < values.length; i += 1) means[i % outputs]! += values[i]! / rows;
  for (let i = 0; i < values.length; i += 1) deviations[i % outputs]! += (values[i]! - means[i % outputs]!) ** 2 / rows;
  return { means, deviations: deviations.map(Math.sqrt) };
}

/** Norm of all weights that read each of the outputs before. */
function readerNorms(next: Layer, outputs: number): Float64Array {
  const squares = new Float64Array(outputs);
  for (let i = 0; i < next.weights.length; i += 1) squares[readIndex(next, i, outputs)]! += next.weights[i]! ** 2;
  return squares.map(Math.sqrt);
}

/** Which output of the layer before a weight reads. */
function readIndex(layer: Layer, weight: number, outputs: number): number {
  if (layer.kind === 'conv1d') return Math.floor(weight / layer.kernel) % layer.inputs;
  // Time by time after a convolution.
  return Math.floor(weight / layer.outputs) % outputs;
}

function withOutputs(layer: Layer, kept: readonly number[]): Layer {
  const bias = Float32Array.from(kept, (j) => layer.bias[j]!);
  if (layer.kind === 'dense') {
    const weights = layer.weights.filter((_, i) => kept.includes(i % layer.outputs));
    return { ...layer, outputs: kept.length, weights, bias };
  }
  const filter = layer.inputs * layer.kernel;
  const weights = layer.weights.filter((_, i) => kept.includes(Math.floor(i / filter)));
  return { ...layer, outputs: kept.length, weights, bias };
}

function withInputs(layer: Layer, outputs: number, kept: readonly number[], means: Float64Array): Layer {
  const isKept = new Set(kept);
  const bias = layer.bias.slice();
  for (let i = 0; i < layer.weights.length; i += 1) {
    const from = readIndex(layer, i, outputs);
    if (!isKept.has(from)) bias[writeIndex(layer, i)]! += means[from]! * layer.weights[i]!;
  }
  const weights = layer.weights.filter((_, i) => isKept.has(readIndex(layer, i, outputs)));
  return { ...layer, inputs: (layer.inputs / outputs) * kept.length, weights, bias };
}

/** Which of its own outputs a weight goes into. */
function writeIndex(layer: DenseLayer | Conv1dLayer, weight: number): number {
  return layer.kind === 'dense' ? weight % layer.outputs : Math.floor(weight / (layer.inputs * layer.kernel));
}
