import { indexWeights } from './pca-model.ts';
import type { PrincipalComponents } from './pca-model.ts';

/** The combined index of each window as its definition says: what the graph must give. */
export function combinedIndex(
  z: Float64Array,
  [from, to]: readonly [number, number],
  pca: PrincipalComponents,
): Float64Array {
  const { dimensions, components, variances } = pca;
  const { tWeight, qWeight } = indexWeights(pca);
  const scores = new Float64Array(to - from);
  for (let n = from; n < to; n += 1) {
    const row = z.subarray(n * dimensions, (n + 1) * dimensions);
    let tSquare = 0;
    let rest = 0;
    for (let i = 0; i < dimensions; i += 1) rest += row[i]! * row[i]!;
    for (let a = 0; a < variances.length; a += 1) {
      let projection = 0;
      for (let i = 0; i < dimensions; i += 1) projection += row[i]! * components[a * dimensions + i]!;
      tSquare += (projection * projection) / variances[a]!;
      rest -= projection * projection;
    }
    scores[n - from] = Math.sqrt(tWeight * tSquare + qWeight * Math.max(0, rest));
  }
  return scores;
}
