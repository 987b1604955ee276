import { DataType, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import type { DenseLayer, Network } from '../network.ts';
import { newerHalf } from './error-terms.ts';
import { planLayers } from './layer-shape.ts';

/**
 * The detector graph: z = clip((x − center) / deviation), r = z − network(z), contributions = weighted sum of r's error
 * terms, score = √(Σ contributions). Products are MatMul + Add or Conv, each with Relu where the layer has one, so that
 * every precision can be made of them.
 *
 * @param weights of the error terms, `[ERROR_TERMS, C]`, with the score's unit in them
 */
export function buildReconstructionGraph(
  name: string,
  { layers, normaliser }: Pick<Network, 'layers' | 'normaliser'>,
  weights: Float64Array,
  { window, channels }: { readonly window: number; readonly channels: number },
): ValidModel {
  const graph = new GraphBuilder(name);
  const x = graph.input('window', DataType.FLOAT, ['N', window, channels]);
  const center = graph.initializer('center', float32(normaliser.center));
  const scale = graph.initializer('inverse_deviation', float32(normaliser.inverseDeviation));
  const low = graph.initializer('low', float32(-normaliser.limit));
  const high = graph.initializer('high', float32(normaliser.limit));
  const deviations = graph.node('Mul', [graph.node('Sub', [x, center]), scale]);
  const z = graph.node('Clip', [deviations, low, high], {}, { outputs: ['z'] });

  const flat = addLayers(graph, layers, z, window * channels);
  const cube = graph.initializer('window_shape', int64([-1, window, channels]));
  const r = graph.node('Sub', [z, graph.node('Reshape', [flat, cube])], {}, { outputs: ['r'] });

  // All terms under one another, each by the root of its weight: few nodes, because each costs as much as a small product.
  const overWindow = graph.initializer('window_axis', int64([1]));
  const mean = (values: string): string => graph.node('ReduceMean', [values, overWindow], { keepdims: 1 });
  const [from, to] = [newerHalf(window), window].map((at) => graph.initializer('half', int64([at]))) as [
    string,
    string,
  ];
  const newer = graph.node('Slice', [r, from, to, overWindow]);
  const terms = graph.node('Concat', [r, mean(r), mean(newer)], { axis: 1 });
  const roots = graph.initializer('term_roots', float32(termRoots(weights, window, channels), [window + 2, channels]));
  const weighted = graph.node('Mul', [terms, roots]);
  graph.node('ReduceSumSquare', [weighted, overWindow], { keepdims: 0 }, { outputs: ['contributions'] });
  const sum = graph.node('ReduceSum', ['contributions', overWindow], { keepdims: 1 });
  graph.node('Sqrt', [sum], {}, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', channels]);
  return graph.build();
}

/** `[W + 2, C]`: what r of each sample, its mean and that of the newer half are multiplied with before they are squared. */
function termRoots(weights: Float64Array, window: number, channels: number): Float64Array {
  return new Float64Array((window + 2) * channels).map((_, i) => {
    const [row, c] = [Math.floor(i / channels), i % channels];
    if (row < window) return Math.sqrt(weights[c]! / window);
    return Math.sqrt(weights[(row - window + 1) * channels + c]!);
  });
}

/** @returns the last layer's output, `[N, outputs]` */
function addLayers(graph: GraphBuilder, layers: Network['layers'], z: string, inputSize: number): string {
  let value = z;
  /** Channels and length of what a convolution gives, which ONNX has channel by channel. */
  let image: readonly [channels: number, length: number] | undefined;
  let flat = false;
  for (const [index, plan] of planLayers(layers, inputSize).entries()) {
    const layer = layers[index]!;
    if (layer.kind === 'conv1d') {
      if (image === undefined) value = graph.node('Transpose', [value], { perm: [0, 2, 1] });
      const weight = graph.initializer('filters', float32(layer.weights, [layer.outputs, layer.inputs, layer.kernel]));
      const bias = graph.initializer('bias', float32(layer.bias));
      value = graph.node('Conv', [value, weight, bias], { kernel_shape: [layer.kernel], strides: [layer.stride] });
      image = [layer.outputs, plan.rows];
    } else {
      if (!flat) {
        value = graph.node('Reshape', [value, graph.initializer('flat_shape', int64([-1, layer.inputs]))]);
        flat = true;
      }
      const rows = image === undefined ? layer.weights : channelsFirst(layer, image);
      image = undefined;
      const weight = graph.initializer('weight', float32(rows, [layer.inputs, layer.outputs]));
      value = graph.node('MatMul', [value, weight]);
      value = graph.node('Add', [value, graph.initializer('bias', float32(layer.bias))]);
    }
    if (layer.activation === 'relu') value = graph.node('Relu', [value]);
  }
  return value;
}

/** Weights whose rows follow the order in which ONNX flattens a convolution's output. */
function channelsFirst(
  { weights, outputs }: DenseLayer,
  [channels, length]: readonly [channels: number, length: number],
): Float32Array {
  const rows = new Float32Array(weights.length);
  for (let t = 0; t < length; t += 1) {
    for (let c = 0; c < channels; c += 1) {
      const from = (t * channels + c) * outputs;
      rows.set(weights.subarray(from, from + outputs), (c * length + t) * outputs);
    }
  }
  return rows;
}
