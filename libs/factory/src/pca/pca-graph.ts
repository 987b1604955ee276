import { DataType, float32, GraphBuilder, int64 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { indexWeights } from './pca-model.ts';
import type { Normaliser, PrincipalComponents } from './pca-model.ts';

/**
 * The detector graph: z = clip((x − center) / deviation), y = M z, contributions = Σ over the window of y², score =
 * √(Σ contributions).
 *
 * M is the symmetric root of the combined index' matrix, √t·PΛ^(−½)Pᵀ + √q·(I − PPᵀ), so that |M z|² is the index and its
 * entries say what each channel adds: never negative, and together exactly score². One matrix product is all the work.
 * Source: C. Alcala & S. Qin, "Reconstruction-based contribution for process monitoring", Automatica 45, 2009 ("complete
 * decomposition contributions").
 *
 * @param unit the index that becomes a score of 1
 */
export function buildPcaGraph(
  normaliser: Normaliser,
  pca: PrincipalComponents,
  shape: { readonly window: number; readonly channels: number },
  unit: number,
): ValidModel {
  const { window, channels } = shape;
  const size = pca.dimensions;
  const graph = new GraphBuilder('windowed-principal-components');
  const x = graph.input('window', DataType.FLOAT, ['N', window, channels]);
  const center = graph.initializer('center', float32(normaliser.center));
  const scale = graph.initializer('inverse_deviation', float32(normaliser.inverseDeviation));
  const low = graph.initializer('low', float32(-normaliser.limit));
  const high = graph.initializer('high', float32(normaliser.limit));
  const flat = graph.initializer('flat_shape', int64([-1, size]));
  const cube = graph.initializer('window_shape', int64([-1, window, channels]));
  const overWindow = graph.initializer('window_axis', int64([1]));
  const weight = graph.initializer('weight', float32(indexRoot(pca, unit), [size, size]));

  const deviations = graph.node('Mul', [graph.node('Sub', [x, center]), scale]);
  const z = graph.node('Clip', [deviations, low, high], {}, { outputs: ['z'] });
  const y = graph.node('MatMul', [graph.node('Reshape', [z, flat]), weight], {}, { outputs: ['y'] });
  const contributions = graph.node(
    'ReduceSumSquare',
    [graph.node('Reshape', [y, cube]), overWindow],
    { keepdims: 0 },
    { outputs: ['contributions'] },
  );
  const index = graph.node('ReduceSum', [contributions, overWindow], { keepdims: 1 });
  graph.node('Sqrt', [index], {}, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', channels]);
  return graph.build();
}

/** M / unit, `[D, D]`, symmetric. */
function indexRoot(pca: PrincipalComponents, unit: number): Float64Array {
  const { dimensions, components, variances } = pca;
  const { tWeight, qWeight } = indexWeights(pca);
  const outside = Math.sqrt(qWeight) / unit;
  const root = new Float64Array(dimensions * dimensions);
  for (let i = 0; i < dimensions; i += 1) root[i * dimensions + i] = outside;
  for (const [a, variance] of variances.entries()) {
    const inside = Math.sqrt(tWeight / variance) / unit - outside;
    const component = components.subarray(a * dimensions, (a + 1) * dimensions);
    for (let i = 0; i < dimensions; i += 1) {
      const factor = inside * component[i]!;
      for (let j = 0; j < dimensions; j += 1) root[i * dimensions + j]! += factor * component[j]!;
    }
  }
  return root;
}
