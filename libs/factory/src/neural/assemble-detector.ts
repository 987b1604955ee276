import type { PolicySpec } from '@drover/detection';
import type { TrainedDetector } from '../detector.ts';
import type { NetworkTraining } from '../network.ts';
import type { Normaliser } from '../pca/pca-model.ts';
import { quantile } from '../quantile.ts';
import type { WindowSet, WindowShape } from '../window-set.ts';
import type { CrossFit } from './cross-fit.ts';
import { scoresOf, termWeights } from './error-terms.ts';
import { multiplyAccumulates, parameterCount } from './layer-shape.ts';
import { buildReconstructionGraph } from './reconstruction-graph.ts';

/** What a detector that reconstructs is made of. */
export interface DetectorParts {
  readonly family: string;
  readonly set: WindowSet;
  readonly shape: WindowShape;
  readonly normal: readonly boolean[];
  readonly normaliser: Normaliser;
  readonly crossFit: CrossFit;
  readonly training: NetworkTraining;
  readonly policy: PolicySpec;
  readonly summary: Readonly<Record<string, unknown>>;
}

/**
 * Scales the errors of a network by those of its folds, on windows that they had not seen, and writes the graph: a score
 * of 1 is the quantile that the training asks for.
 */
export function assembleDetector(parts: DetectorParts): TrainedDetector {
  const { family, set, shape, normal, normaliser, crossFit, training, policy, summary } = parts;
  const { layers, folds, terms } = crossFit;
  const watched = watchedBy(normaliser);
  const weights = termWeights(terms, normal, watched);
  const held = scoresOf(terms, weights).filter((_, n) => normal[n]);
  const unit = Math.max(quantile(held, training.unitQuantile), Number.MIN_VALUE);
  const scaled = weights.map((weight) => weight / unit ** 2);
  return {
    family,
    graph: buildReconstructionGraph(`${family}-reconstruction`, { layers, normaliser }, scaled, set),
    shape,
    policy,
    warmup: 0,
    stateReset: 'gap',
    trainedOn: set,
    normal,
    constantChannels: [...watched.keys()].filter((c) => !watched[c]),
    summary: {
      ...summary,
      windows: set.count,
      setAside: normal.filter((flag) => !flag).length,
      epochs: crossFit.epochs,
      parameters: parameterCount(layers),
      multiplyAccumulates: multiplyAccumulates(layers, set.window * set.channels),
    },
    network: { layers, normaliser, folds, training },
  };
}

/** Which channels change at all. */
export function watchedBy({ inverseDeviation }: Normaliser): boolean[] {
  return Array.from(inverseDeviation, (inverse) => inverse !== 0);
}
