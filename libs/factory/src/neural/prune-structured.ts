import type { TrainedDetector, TrainingContext } from '../detector.ts';
import { InvalidTrainingOptionsError } from '../errors.ts';
import { selectWindows, thinned } from '../window-set.ts';
import { assembleDetector, watchedBy } from './assemble-detector.ts';
import { fitAll, fitFolds, foldRandom, layersOf, normalised, partOf } from './cross-fit.ts';
import type { FitPart } from './cross-fit.ts';
import { termWeights } from './error-terms.ts';
import { heldOutTerms, imitate, lessonWeights } from './imitation.ts';
import { parameterCount } from './layer-shape.ts';
import { requireNetwork } from './require-network.ts';
import { pruneLayers } from './prune-layers.ts';

/** Share of the epochs of the training, and of its learning rate. */
const FINE_TUNING = { epochs: 0.4, learningRate: 0.5 };
const MOST_PROBES = 512;

/**
 * A smaller network with whole neurons and filters removed, fine-tuned on the windows that the detector was trained on so that
 * it answers as before. The folds of the network are pruned and fine-tuned alike, so the scale of the score comes from
 * windows that had no part in it.
 *
 * @param share of the neurons of each layer, over 0 and under 1
 * @throws UnsupportedGraphError for a detector that is no neural network; InvalidTrainingOptionsError for an impossible
 *   share; the signal's reason when aborted
 */
export async function pruneStructured(
  detector: TrainedDetector,
  share: number,
  context: TrainingContext,
): Promise<TrainedDetector> {
  if (!(share > 0 && share < 1)) {
    throw new InvalidTrainingOptionsError(`A share of ${share} cannot be pruned: it must be between 0 and 1.`);
  }
  const network = requireNetwork(detector, 'pruned');
  const { trainedOn: set, normal, shape, policy, summary } = detector;
  const { normaliser, training } = network;
  const size = set.window * set.channels;
  const z = normalised(set, normaliser);
  const kept = normal.flatMap((flag, n) => (flag ? [n] : []));
  const probes = normalised(thinned(selectWindows(set, kept), MOST_PROBES), normaliser);
  const terms = heldOutTerms(network.folds, z, set);
  const weights = lessonWeights(terms, termWeights(terms, normal, watchedBy(normaliser)), normal);
  const lesson = { shape: set, weights, limit: normaliser.limit, teacherShare: 0.5, healedShare: 0, scoreShare: 0.1 };
  const options = {
    ...training,
    epochs: Math.max(5, Math.round(training.epochs * FINE_TUNING.epochs)),
    learningRate: training.learningRate * FINE_TUNING.learningRate,
  };
  const fit: FitPart = ({ fold, ...stop }, samples, part) => {
    const before = layersOf(network, fold);
    const layers = pruneLayers(before, probes, size, share);
    return imitate(layers, before, samples, lesson, { ...options, ...stop }, foldRandom(context.seed, fold), part);
  };
  const count = network.folds.length;
  const end = count / (count + 1);
  const folds = await fitFolds(set, z, normal, count, fit, { ...context, ...partOf(context, 0, end) });
  const crossFit = await fitAll(set, z, normal, folds, fit, { ...context, ...partOf(context, end, 1) });
  return assembleDetector({
    family: detector.family,
    set,
    shape,
    normal,
    normaliser,
    crossFit,
    training,
    policy,
    summary: { ...summary, pruned: { share, parametersBefore: parameterCount(network.layers) } },
  });
}
