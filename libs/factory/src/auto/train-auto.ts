import { CallerError } from '@drover/runtime';
import { adaptive } from '../adaptive/train-adaptive.ts';
import { combineDetectors } from '../combine-graphs.ts';
import type { Family, TrainedDetector, TrainingContext, TrainingData } from '../detector.ts';
import { InvalidTrainingOptionsError } from '../errors.ts';
import { mahalanobis } from '../mahalanobis/train-mahalanobis.ts';
import { pca } from '../pca/train-pca.ts';
import { series } from '../shape/train-series.ts';
import { vectorAutoregression } from '../var/train-var.ts';
import { channelsOf } from '../window-set.ts';
import { choose, nameOf } from './choose.ts';
import type { Choice } from './choose.ts';
import { foldsOf } from './folds.ts';
import { normalised } from './normalised-detector.ts';
import { runTrials } from './trials.ts';

export interface AutoOptions {
  /** Blocks of time that are held out in turn. */
  readonly folds: number;
  /** Copies with different faults of a short held-out block; of a long one two, which hold many faults. */
  readonly copies: number;
  /** Of a held-out block, so many rows are scored at most: bounds time. */
  readonly mostHeldOutRows: number;
}

export const DEFAULT_AUTO_OPTIONS: AutoOptions = { folds: 3, copies: 4, mostHeldOutRows: 1_500 };

const CANDIDATES: readonly Family[] = [adaptive, pca, vectorAutoregression, mahalanobis];

/**
 * What is compared, the preferred first: baselines that follow find lasting shifts through drift, principal components find
 * channels that part from each other. Each is blind where the other sees.
 */
const SETS = [
  ['adaptive', 'pca'],
  ['adaptive'],
  ['adaptive', 'var'],
  ['adaptive', 'pca', 'var'],
  ['pca'],
  ['var'],
  ['mahalanobis'],
];

/** A block of fewer rows says nothing. */
const FEWEST_HELD_OUT_ROWS = 100;
/** Held-out windows with faults that are enough, all copies together. */
const ENOUGH_WINDOWS = 1_000;
/** Rows before a held-out block on which a detector may settle. */
const LEAD = 100;
/** Each further detector can raise a false alarm of its own: thresholds rise by this share. */
const PER_FURTHER_MEMBER = 0.2;

/** Picks the family, or families, by trials on the training data. */
export const auto: Family<AutoOptions> = {
  name: 'auto',
  summary: 'trains several families, tries them on held-out rows with made-up faults, and takes the best, saying why',
  defaults: DEFAULT_AUTO_OPTIONS,
  train: trainAuto,
};

/**
 * Trains what suits the data. Single series get shape and value by running tail probabilities; several channels get the
 * families of machine data, chosen by blocked cross-validation: each block of time is held out in turn, scored as it is
 * (false alarms, drift) and with faults put in (VUS-PR). Several chosen families become one graph whose largest signal,
 * each in units of its own threshold, decides. `summary.choice` says what was compared and why.
 *
 * @throws as the families' `train`, where none of them can be trained
 */
export async function trainAuto(
  data: TrainingData,
  partial: Partial<AutoOptions>,
  context: TrainingContext,
): Promise<TrainedDetector> {
  const options = { ...DEFAULT_AUTO_OPTIONS, ...partial };
  refuseImpossible(options);
  if (channelsOf(data.recordings).length === 1) return trainSingle(data, context);
  const { members, reasons } = await chooseFamilies(data, options, context);
  return trainChosen(members, reasons, data, context);
}

async function trainSingle(data: TrainingData, context: TrainingContext): Promise<TrainedDetector> {
  const detector = await series.train(data, {}, context);
  const choice = [
    'One channel: shape (distance to the nearest known stretch) and value, by running tail probabilities.',
  ];
  return { ...detector, family: 'auto', summary: { ...detector.summary, choice } };
}

async function chooseFamilies(data: TrainingData, options: AutoOptions, context: TrainingContext): Promise<Choice> {
  const rows = data.recordings.reduce((sum, recording) => sum + recording.rows, 0);
  const needed = options.folds * FEWEST_HELD_OUT_ROWS * data.stride;
  const [preferred] = SETS;
  if (rows < needed) {
    const why = `${rows} rows are too few to compare on held-out ones (${needed} are needed): ${preferred!.join(' + ')}, which is preferred.`;
    return { members: preferred!, reasons: [why] };
  }
  const lead = LEAD * data.stride;
  const folds = foldsOf(data.recordings, options.folds, { lead, mostRows: options.mostHeldOutRows * data.stride });
  const { contenders, failed } = await runTrials(
    CANDIDATES,
    SETS,
    { data, folds },
    { ...context, onProgress: (fraction) => context.onProgress?.(0.9 * fraction) },
    {
      copiesOf: (held) => copiesFor(held / data.stride, options.copies),
      policyOf: (members) => policyOf(members.length),
    },
  );
  const { members, reasons } = choose(contenders);
  const trouble = [...failed].map(([name, message]) => `${name} cannot be trained on parts of this data: ${message}`);
  return { members: members.length > 0 ? members : preferred!, reasons: [...trouble, ...reasons] };
}

/** A chosen family that cannot be trained after all is left out; when it is the last one, its error is thrown. */
async function trainChosen(
  members: readonly string[],
  reasons: readonly string[],
  data: TrainingData,
  context: TrainingContext,
): Promise<TrainedDetector> {
  const trained: TrainedDetector[] = [];
  const choice = [...reasons];
  for (const [index, name] of members.entries()) {
    context.signal?.throwIfAborted();
    try {
      const family = CANDIDATES.find((candidate) => candidate.name === name)!;
      trained.push(normalised(await family.train(data, {}, { seed: context.seed, signal: context.signal })));
    } catch (error) {
      if (!(error instanceof CallerError) || (trained.length === 0 && index === members.length - 1)) throw error;
      choice.push(`Without ${name}: ${error.message}`);
    }
  }
  context.onProgress?.(1);
  const policy = { kind: 'threshold', ...policyOf(trained.length) } as const;
  const combined = trained.length === 1 ? { ...trained[0]!, policy } : combineDetectors(trained, 'auto', policy);
  const families = nameOf({ members: trained.map(({ family }) => family) });
  return { ...combined, family: 'auto', summary: { ...combined.summary, families, choice } };
}

function copiesFor(heldOutWindows: number, most: number): number {
  return Math.min(most, Math.max(2, Math.round(ENOUGH_WINDOWS / heldOutWindows)));
}

function policyOf(members: number): { threshold: number; releaseRatio: number; minLength: number } {
  return { threshold: 1 + PER_FURTHER_MEMBER * (members - 1), releaseRatio: 0.75, minLength: 2 };
}

function refuseImpossible({ folds, copies, mostHeldOutRows }: AutoOptions): void {
  const wrong = [
    [folds >= 2 && Number.isInteger(folds), 'folds must be a whole number from 2'],
    [copies >= 1 && Number.isInteger(copies), 'copies must be a whole number from 1'],
    [mostHeldOutRows >= FEWEST_HELD_OUT_ROWS, `mostHeldOutRows must be at least ${FEWEST_HELD_OUT_ROWS}`],
  ] as const;
  const problem = wrong.find(([fine]) => !fine);
  if (problem) throw new InvalidTrainingOptionsError(`${problem[1]}.`);
}
