import type { Precision, VariantKind } from '@drover/contracts';
import type { PolicySpec } from '@drover/detection';
import { encodeModel } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { quantizeInt4 } from '../compression/quantize-int4.ts';
import { quantizeInt8Dynamic } from '../compression/quantize-int8-dynamic.ts';
import { quantizeInt8 } from '../compression/quantize-int8.ts';
import { sparsify, sparsifyFitted } from '../compression/sparsify.ts';
import { toFp16 } from '../compression/to-fp16.ts';
import type { TrainedDetector } from '../detector.ts';
import { InvalidTrainingOptionsError, UnsupportedGraphError } from '../errors.ts';
import { injectFaults } from '../evaluation/synthetic-faults.ts';
import { concatWindows, thinned } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';
import { distil } from '../neural/distil.ts';
import { pruneStructured } from '../neural/prune-structured.ts';
import { hasState } from './graph-state.ts';
import { largestScores, normalScoresOf, normalWindowsOf } from './made-variant.ts';
import { matchedPolicy } from './matched-policy.ts';
import type { MadeVariant, VariantSource } from './made-variant.ts';
import type { PlannedKind } from './variant-kinds.ts';

const CALIBRATION_WINDOWS = 512;
/** Of the weights that become zero, and of the neurons that go. */
const SHARE = 0.5;

export interface MakingContext {
  readonly source: VariantSource;
  /** What the ranges of activations are chosen on. */
  readonly calibration: WindowSet;
  /** What thresholds are matched on: normal windows, and such with faults. */
  readonly probes: WindowSet;
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

/** Windows whose scores spread around a threshold: normal ones and as many with faults, small ones too. */
export function probeWindows({ detector }: VariantSource, random: () => number): WindowSet {
  const normal = thinned(normalWindowsOf(detector), CALIBRATION_WINDOWS);
  return concatWindows(normal, injectFaults(normal, random, { smallest: 0.5, largest: 6 }));
}

/** The model as it was trained. */
export async function makeFp32(context: MakingContext): Promise<MadeVariant> {
  const { detector, file } = context.source;
  return trained(context, detector, { name: 'fp32', kind: 'fp32', size: 'full' }, file);
}

/** A network with the scale and threshold that it was trained with. */
async function trained(
  context: MakingContext,
  { graph, policy }: TrainedDetector,
  what: Pick<MadeVariant, 'name' | 'kind' | 'size' | 'alone'>,
  bytes = encodeModel(graph),
): Promise<MadeVariant> {
  return { ...what, precision: 'fp32', model: graph, bytes, policy, ...(await scoresOf(context, bytes, policy)) };
}

/** A variant of the same network, its threshold moved with its scores. */
async function derived(
  context: MakingContext,
  from: MadeVariant,
  model: ValidModel,
  what: Pick<MadeVariant, 'name' | 'kind' | 'precision' | 'size' | 'ranges' | 'alone'>,
): Promise<MadeVariant> {
  const bytes = encodeModel(model);
  const scores = await scoresOf(context, bytes, from.policy);
  return { ...what, model, bytes, ...scores, policy: matchedPolicy(from.policy, from, scores) };
}

async function scoresOf(
  { source, probes, signal }: MakingContext,
  bytes: Uint8Array,
  policy: PolicySpec,
): Promise<Pick<MadeVariant, 'normalScores' | 'probeScores'>> {
  return {
    normalScores: await normalScoresOf(bytes, policy, source, signal),
    probeScores: hasState(source.detector.graph) ? new Float64Array(0) : await largestScores(bytes, probes),
  };
}

/** In int8, of any network. */
async function int8Of(
  context: MakingContext,
  from: MadeVariant,
  what: Pick<MadeVariant, 'name' | 'kind' | 'size' | 'alone'>,
): Promise<MadeVariant> {
  const { model, report } = await quantizeInt8(from.model, context.calibration);
  return derived(context, from, model, { ...what, precision: 'int8', ranges: report.ranges });
}

/** A kind that only rewrites the graph. */
function rewriting(kind: VariantKind & Precision, rewrite: (model: ValidModel) => ValidModel): Maker {
  return async (context, fp32) => [
    await derived(context, fp32, rewrite(fp32.model), { name: kind, kind, precision: kind, size: 'full' }),
  ];
}

/** A smaller network as it is, and in int8 where it has something to quantise. */
async function withInt8(context: MakingContext, small: MadeVariant): Promise<MadeVariant[]> {
  const { name, kind, size, alone } = small;
  const what = { name: `${name}-int8`, kind, size, ...(alone === undefined ? {} : { alone }) };
  try {
    return [small, await int8Of(context, small, what)];
  } catch (error) {
    if (error instanceof UnsupportedGraphError) return [small];
    throw error;
  }
}

const MAKERS: Record<Exclude<VariantKind, 'fp32'>, Maker> = {
  fp16: rewriting('fp16', toFp16),
  int8: async (context, fp32) => [await int8Of(context, fp32, { name: 'int8', kind: 'int8', size: 'full' })],
  'int8-dynamic': rewriting('int8-dynamic', quantizeInt8Dynamic),
  int4: rewriting('int4', (model) => quantizeInt4(model)),
  sparse: async (context, fp32) => {
    const size = sizeClass('sparse');
    const what = { name: size, kind: 'sparse', precision: 'fp32', size } as const;
    // Windows that were made up do not tell what weights have to make up for.
    const known = context.source.recordings.length > 0;
    const model = known ? await sparsifyFitted(fp32.model, SHARE, context.calibration) : sparsify(fp32.model, SHARE);
    return [await derived(context, fp32, model, what)];
  },
  pruned: async (context) => {
    const size = sizeClass('pruned');
    const detector = await pruneStructured(context.source.detector, SHARE, context);
    return withInt8(context, await trained(context, detector, { name: size, kind: 'pruned', size }));
  },
  distilled: async (context) => {
    const { student, alone } = await distil(context.source.detector, context);
    const rival = { bytes: encodeModel(alone.graph), policy: alone.policy };
    const what = { name: 'student', kind: 'distilled', size: 'student', alone: rival } as const;
    return withInt8(context, await trained(context, student, what));
  },
};

function sizeClass(kind: 'sparse' | 'pruned'): string {
  return `${kind}-${Math.round(100 * SHARE)}`;
}

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
  if (kind === 'fp32') return { made: [] };
  try {
    return { made: await MAKERS[kind](context, fp32) };
  } catch (error) {
    if (!(error instanceof UnsupportedGraphError)) throw error;
    if (asked) {
      throw new InvalidTrainingOptionsError(
        `A variant of the kind ${kind} cannot be made of this model: ${error.message}`,
        {
          cause: error,
        },
      );
    }
    return { made: [], leftOut: `There is no ${kind} variant. ${error.message}` };
  }
}
