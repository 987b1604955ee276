import type { TrainedDetector, TrainingContext } from '../detector.ts';
import { assembleDetector, watchedBy } from './assemble-detector.ts';
import { fitAll, fitFolds, foldRandom, layersOf, normalised, partOf } from './cross-fit.ts';
import type { FitPart } from './cross-fit.ts';
import { termWeights } from './error-terms.ts';
import { fitNetwork } from './fit-network.ts';
import { heldOutTerms, imitate, lessonWeights } from './imitation.ts';
import { initialLayers, parameterCount } from './layer-shape.ts';
import { SquaredError } from './objective.ts';
import { requireNetwork } from './require-network.ts';
import { studentLayers } from './student-layers.ts';

const TEACHER_SHARE = 1;
const SCORE_SHARE = 0.1;

export interface Distilled {
  /** Learned from the teacher's answers. */
  readonly student: TrainedDetector;
  /** The same network, trained on the data alone with as many steps: what the student has to beat. */
  readonly alone: TrainedDetector;
}

/**
 * A dense network of at most a tenth of the teacher's size that gives the teacher's scores: trained on the teacher's
 * reconstructions (mixed with the windows themselves) and its scores, of normal windows and of such with synthetic faults.
 * Each fold learns from the teacher's fold, so the student's scale comes from windows that neither has seen.
 * Source of the idea: G. Hinton, O. Vinyals & J. Dean, "Distilling the knowledge in a neural network", 2015.
 *
 * @throws UnsupportedGraphError for a teacher that is no neural network, or so small that a tenth of it is no network;
 *   the signal's reason when aborted
 */
export async function distil(teacher: TrainedDetector, context: TrainingContext): Promise<Distilled> {
  const network = requireNetwork(teacher, 'distilled');
  const { trainedOn: set, normal, shape, policy } = teacher;
  const { normaliser, training } = network;
  const shapes = studentLayers(teacher, network.normaliser);
  const z = normalised(set, normaliser);
  const terms = heldOutTerms(network.folds, z, set);
  const weights = lessonWeights(terms, termWeights(terms, normal, watchedBy(normaliser)), normal);
  const lesson = { shape: set, weights, limit: normaliser.limit, teacherShare: TEACHER_SHARE, scoreShare: SCORE_SHARE };
  const count = network.folds.length;

  const train = async (fit: FitPart, from: number, to: number, how: string): Promise<TrainedDetector> => {
    const end = from + ((to - from) * count) / (count + 1);
    const folds = await fitFolds(set, z, normal, count, fit, { ...context, ...partOf(context, from, end) });
    const crossFit = await fitAll(set, z, normal, folds, fit, { ...context, ...partOf(context, end, to) });
    return assembleDetector({
      family: teacher.family,
      set,
      shape,
      normal,
      normaliser,
      crossFit,
      training,
      policy,
      summary: { [how]: { layers: shapes.map(({ outputs }) => outputs), teacher: parameterCount(network.layers) } },
    });
  };
  const fromTeacher: FitPart = ({ fold, ...stop }, samples, part) => {
    const random = foldRandom(context.seed, fold);
    const layers = initialLayers(shapes, random);
    return imitate(layers, layersOf(network, fold), samples, lesson, { ...training, ...stop }, random, part);
  };
  // Twice the passes over half as many windows: as many steps as the student makes.
  const budget = { ...training, epochs: 2 * training.epochs, patience: 2 * training.patience };
  const fromData: FitPart = ({ fold, ...stop }, samples, part) => {
    const random = foldRandom(context.seed, fold);
    const objective = new SquaredError(samples.inputs, samples.size);
    return fitNetwork(initialLayers(shapes, random), samples, objective, { ...budget, ...stop }, random, part);
  };
  return {
    student: await train(fromTeacher, 0, 0.6, 'distilled'),
    alone: await train(fromData, 0.6, 1, 'alone'),
  };
}
