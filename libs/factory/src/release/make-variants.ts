import type { VariantKind } from '@drover/contracts';
import { encodeModel } from '@drover/onnx';
import { quantizeInt8 } from '../compression/quantize-int8.ts';
import type { TrainingData } from '../detector.ts';
import { InvalidTrainingOptionsError, UnsupportedGraphError } from '../errors.ts';
import { injectFaults } from '../evaluation/synthetic-faults.ts';
import { concatWindows, thinned } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';
import { matchedPolicy, normalScoresOf, normalWindowsOf } from './made-variant.ts';
import type { MadeVariant, VariantSource } from './made-variant.ts';
import type { PlannedKind } from './variant-kinds.ts';

const CALIBRATION_WINDOWS = 512;

export interface MakingContext {
  readonly source: VariantSource;
  /** What the ranges of activations are chosen on. */
  readonly calibration: WindowSet;
  /** For what has to be trained again; nothing where the model was brought along. */
  readonly training?: TrainingData | undefined;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (fraction: number, loss?: number) => void;
}

/** Makes the variants of one kind beside fp32. */
type Maker = (context: MakingContext, fp32: MadeVariant) => Promise<MadeVariant[]>;

/**
 * Windows for the ranges of activations: normal ones and as many with synthetic faults, because an anomaly that saturates
 * the input would look smaller than it is.
 */
export function calibrationWindows({ detector }: VariantSource, random: () => number): WindowSet {
  const normal = thinned(normalWindowsOf(detector), CALIBRATION_WINDOWS);
  return concatWindows(normal, injectFaults(normal, random));
}

/** The model as it was trained. */
export async function makeFp32(source: VariantSource, signal?: AbortSignal): Promise<MadeVariant> {
  const { graph, policy } = source.detector;
  const bytes = encodeModel(graph);
  const normalScores = await normalScoresOf(bytes, policy, source, signal);
  return { name: 'fp32', kind: 'fp32', precision: 'fp32', size: 'full', model: graph, bytes, policy, normalScores };
}

/** The network in int8, its threshold moved with the scores of normal windows. */
async function makeInt8({ source, calibration, signal }: MakingContext, fp32: MadeVariant): Promise<MadeVariant[]> {
  const { model, report } = await quantizeInt8(fp32.model, calibration);
  const bytes = encodeModel(model);
  const normalScores = await normalScoresOf(bytes, fp32.policy, source, signal);
  const policy = matchedPolicy(fp32.policy, fp32.normalScores, normalScores);
  return [
    {
      ...fp32,
      name: 'int8',
      kind: 'int8',
      precision: 'int8',
      model,
      bytes,
      policy,
      normalScores,
      ranges: report.ranges,
    },
  ];
}

const MAKERS: Partial<Record<VariantKind, Maker>> = { int8: makeInt8 };

/**
 * Makes variants of one kind.
 *
 * @returns the variants, or why there are none
 * @throws InvalidTrainingOptionsError when one was asked for that the graph does not allow; the signal's reason
 */
export async function makeVariants(
  { kind, asked }: PlannedKind,
  context: MakingContext,
  fp32: MadeVariant,
): Promise<{ readonly made: readonly MadeVariant[]; readonly leftOut?: string }> {
  const maker = MAKERS[kind];
  if (maker === undefined) return { made: [], leftOut: `${kind} variants cannot be made.` };
  try {
    return { made: await maker(context, fp32) };
  } catch (error) {
    if (!(error instanceof UnsupportedGraphError)) throw error;
    if (asked) {
      throw new InvalidTrainingOptionsError(`An ${kind} variant cannot be made of this model: ${error.message}`, {
        cause: error,
      });
    }
    return { made: [], leftOut: `There is no ${kind} variant: ${lowerFirst(error.message)}` };
  }
}

function lowerFirst(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}
