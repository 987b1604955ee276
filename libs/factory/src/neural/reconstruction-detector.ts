import type { TrainedDetector, TrainingContext } from '../detector.ts';
import { NotEnoughDataError, UnusableDataError } from '../errors.ts';
import { fitNormaliser } from '../pca/pca-model.ts';
import type { WindowSet, WindowShape } from '../window-set.ts';
import { assembleDetector, watchedBy } from './assemble-detector.ts';
import { fitAll, fitFolds, foldRandom, normalised, partOf } from './cross-fit.ts';
import type { FitPart } from './cross-fit.ts';
import { bulkOf, scoresOf, termWeights } from './error-terms.ts';
import { fitNetwork } from './fit-network.ts';
import { initialLayers } from './layer-shape.ts';
import type { LayerShape } from './layer-shape.ts';
import { FEWEST_WINDOWS } from './neural-options.ts';
import type { NeuralOptions } from './neural-options.ts';
import { SquaredError } from './objective.ts';

const MOST_PASSES = 2;
/** Progress at the end of each pass over the folds; the rest is for the network of all windows. */
const PASS_ENDS = [0.5, 0.85];

/**
 * Trains layers to reconstruct normal windows, and makes a detector of how much a window differs from its reconstruction.
 * Deterministic by seed. Windows that the folds find far above the others are set aside, and all is fitted again.
 *
 * @throws NotEnoughDataError, UnusableDataError, TrainingDivergedError; the signal's reason when aborted
 */
export async function trainReconstruction(
  family: string,
  set: WindowSet,
  shape: WindowShape,
  layers: readonly LayerShape[],
  options: NeuralOptions,
  context: TrainingContext,
): Promise<TrainedDetector> {
  refuseTooFew(set);
  const fit = fromScratch(layers, options, context.seed);
  let normal: readonly boolean[] = Array.from({ length: set.count }, () => true);
  for (let pass = 0; ; pass += 1) {
    const normaliser = fitNormaliser(set, normal, options.limit);
    if (!watchedBy(normaliser).some(Boolean)) {
      throw new UnusableDataError('No channel of the training data ever changes.');
    }
    const z = normalised(set, normaliser);
    const progress = partOf(context, PASS_ENDS[pass - 1] ?? 0, PASS_ENDS[pass]!);
    const folds = await fitFolds(set, z, normal, options.folds, fit, { ...context, ...progress });
    const robust = termWeights(folds.terms, normal, watchedBy(normaliser), options.maxContamination);
    const scores = scoresOf(folds.terms, robust);
    const next = bulkOf(scores, normal, options.maxContamination);
    if (pass + 1 < MOST_PASSES && next.some((flag, n) => flag !== normal[n])) {
      normal = next;
      continue;
    }
    const rest = { ...context, ...partOf(context, PASS_ENDS[pass]!, 1) };
    const crossFit = await fitAll(set, z, normal, folds, fit, rest);
    const { epochs, learningRate, batch, patience, unitQuantile } = options;
    return assembleDetector({
      family,
      set,
      shape,
      normal,
      normaliser,
      crossFit,
      training: { epochs, learningRate, batch, patience, unitQuantile },
      policy: {
        kind: 'threshold',
        threshold: options.margin,
        releaseRatio: options.releaseRatio,
        minLength: options.minLength,
      },
      summary: { options },
    });
  }
}

/** From random weights, which differ from fold to fold. */
function fromScratch(layers: readonly LayerShape[], options: NeuralOptions, seed: number): FitPart {
  return ({ fold, ...stop }, samples, context) => {
    const random = foldRandom(seed, fold);
    const objective = new SquaredError(samples.inputs, samples.size);
    return fitNetwork(initialLayers(layers, random), samples, objective, { ...options, ...stop }, random, context);
  };
}

function refuseTooFew({ count, overlap, window }: WindowSet): void {
  // Enough that every fold keeps others that do not overlap it.
  const needed = Math.max(FEWEST_WINDOWS, 4 * overlap);
  if (count >= needed) return;
  throw new NotEnoughDataError(
    `${count} whole windows of ${window} samples; at least ${needed} are needed. Are there gaps or missing values?`,
  );
}
