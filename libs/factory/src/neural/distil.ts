import type { TrainedDetector, TrainingContext } from '../detector.ts';
import { assembleDetector, watchedBy } from './assemble-detector.ts';
import { fitAll, fitFolds, foldRandom, layersOf, normalised, partOf } from './cross-fit.ts';
import type { CrossFit, FitPart, FoldFit } from './cross-fit.ts';
import { termWeights } from './error-terms.ts';
import { fitNetwork } from './fit-network.ts';
import { heldOutTerms, imitate, lessonWeights } from './imitation.ts';
import type { Lesson } from './imitation.ts';
import { initialLayers, parameterCount } from './layer-shape.ts';
import type { LayerShape } from './layer-shape.ts';
import { SquaredError } from './objective.ts';
import { requireNetwork } from './require-network.ts';
import { studentCandidates } from './student-layers.ts';

const LESSON = { teacherShare: 1, healedShare: 1, scoreShare: 0.1 };
/** Progress when the candidates are through, when the student is, and when the folds of the network trained alone are. */
const STAGES = [0.6, 0.7, 0.92] as const;

export interface Distilled {
  /** Learned from the teacher's answers. */
  readonly student: TrainedDetector;
  /** The same network, trained on the data alone with as many steps: what the student has to beat. */
  readonly alone: TrainedDetector;
}

/**
 * A dense network of at most a tenth of the teacher's size that gives the teacher's scores: trained on the teacher's
 * reconstructions and scores, of normal windows and of such with synthetic faults, which it learns to reconstruct without. Of the networks that are small enough, the one
 * whose answers are nearest to the teacher's on windows that neither has seen. Each fold learns from the teacher's fold, so
 * the scale of the score comes from such windows too.
 * Source of the idea: G. Hinton, O. Vinyals & J. Dean, "Distilling the knowledge in a neural network", 2015.
 *
 * @throws UnsupportedGraphError for a teacher that is no neural network, or so small that a tenth of it is no network;
 *   the signal's reason when aborted
 */
export async function distil(teacher: TrainedDetector, context: TrainingContext): Promise<Distilled> {
  const network = requireNetwork(teacher, 'distilled');
  const { trainedOn: set, normal, shape, policy } = teacher;
  const { normaliser, training } = network;
  const z = normalised(set, normaliser);
  const terms = heldOutTerms(network.folds, z, set);
  const weights = lessonWeights(terms, termWeights(terms, normal, watchedBy(normaliser)), normal);
  const lesson = { ...LESSON, shape: set, weights, limit: normaliser.limit };
  const part = (from: number, to: number): TrainingContext => ({ ...context, ...partOf(context, from, to) });
  const foldsOf = (fit: FitPart, from: number, to: number): Promise<FoldFit> =>
    fitFolds(set, z, normal, network.folds.length, fit, part(from, to));
  const allOf = (folds: FoldFit, fit: FitPart, from: number, to: number): Promise<CrossFit> =>
    fitAll(set, z, normal, folds, fit, part(from, to));
  const assemble = (crossFit: CrossFit, how: string): TrainedDetector => {
    const layers = crossFit.layers.map(({ outputs, activation }) => `${outputs} ${activation}`);
    const summary = { [how]: { layers, teacher: parameterCount(network.layers) } };
    return assembleDetector({
      family: teacher.family,
      set,
      shape,
      normal,
      normaliser,
      crossFit,
      training,
      policy,
      summary,
    });
  };

  const [chosen, taught, alone] = STAGES;
  const candidates = studentCandidates(teacher, normaliser);
  let best: { readonly shapes: LayerShape[]; readonly folds: FoldFit } | undefined;
  for (const [index, shapes] of candidates.entries()) {
    const share = chosen / candidates.length;
    const fit = taughtBy(teacher, shapes, lesson, context.seed);
    const folds = await foldsOf(fit, index * share, (index + 1) * share);
    if (best === undefined || folds.loss < best.folds.loss) best = { shapes, folds };
  }
  const { shapes, folds } = best!;
  const student = await allOf(folds, taughtBy(teacher, shapes, lesson, context.seed), chosen, taught);
  const untaught = fromData(teacher, shapes, context.seed);
  const foldsAlone = await foldsOf(untaught, taught, alone);
  return {
    student: assemble(student, 'distilled'),
    alone: assemble(await allOf(foldsAlone, untaught, alone, 1), 'alone'),
  };
}

function taughtBy(teacher: TrainedDetector, shapes: readonly LayerShape[], lesson: Lesson, seed: number): FitPart {
  const network = requireNetwork(teacher, 'distilled');
  return ({ fold, ...stop }, samples, part) => {
    const random = foldRandom(seed, fold);
    const layers = initialLayers(shapes, random);
    return imitate(layers, layersOf(network, fold), samples, lesson, { ...network.training, ...stop }, random, part);
  };
}

function fromData(teacher: TrainedDetector, shapes: readonly LayerShape[], seed: number): FitPart {
  const { training } = requireNetwork(teacher, 'distilled');
  // Twice the passes over half as many windows: as many steps as the student makes.
  const budget = { ...training, epochs: 2 * training.epochs, patience: 2 * training.patience };
  return ({ fold, ...stop }, samples, part) => {
    const random = foldRandom(seed, fold);
    const objective = new SquaredError(samples.inputs, samples.size);
    return fitNetwork(initialLayers(shapes, random), samples, objective, { ...budget, ...stop }, random, part);
  };
}
