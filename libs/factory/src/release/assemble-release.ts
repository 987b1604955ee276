import type { CompressionContract } from '@drover/contracts';
import { InvalidInputError, problemsOf } from '@drover/runtime';
import { InvalidTrainingOptionsError } from '../errors.ts';
import type { WindowSet } from '../window-set.ts';
import { refusalsOf } from './contract.ts';
import { describeVariant } from './describe-variant.ts';
import type { DescribedVariant } from './describe-variant.ts';
import { floatsToBase64, goldenWindows } from './golden-vectors.ts';
import { normalWindowsOf, shapeOf } from './made-variant.ts';
import type { MadeVariant } from './made-variant.ts';
import { makeFp32, makeVariants } from './make-variants.ts';
import type { MakingContext } from './make-variants.ts';
import { measureVariant } from './measure-variant.ts';
import { limitsOf } from './model-limits.ts';
import { modelCardOf } from './model-card.ts';
import type { PreparedModel } from './prepared-model.ts';
import type { ProgressTracker } from './progress.ts';
import { manifestDraftSchema } from './release-options.ts';
import type { BuildOptions, BuiltRelease } from './release-options.ts';
import type { PlannedKind } from './variant-kinds.ts';

export interface Assembly {
  readonly prepared: PreparedModel;
  readonly kinds: readonly PlannedKind[];
  /** What the ranges of activations are chosen on. */
  readonly calibration: WindowSet;
  /** What thresholds are matched on. */
  readonly probes: WindowSet;
  readonly contract: CompressionContract;
  readonly seed: number;
  readonly forGolden: () => number;
  readonly progress: ProgressTracker;
  readonly options: Pick<BuildOptions, 'signal' | 'createdAt'>;
}

/** Makes, measures, judges and describes the variants of a model that is there. */
export async function assembleRelease(assembly: Assembly): Promise<BuiltRelease> {
  const { prepared, contract, progress, options } = assembly;
  const { detector, trial } = prepared;
  const shape = shapeOf(detector);
  progress.enter('compressing');
  const { made, leftOut } = await makeAll(assembly);

  progress.enter('measuring');
  const golden = goldenWindows(normalWindowsOf(detector), assembly.forGolden);
  const described: DescribedVariant[] = [];
  const reference = await measureVariant(made[0]!, trial, shape, undefined, options.signal);
  for (const [i, variant] of made.entries()) {
    const measured = i === 0 ? reference : await measureVariant(variant, trial, shape, reference, options.signal);
    const refusals = refusalsOf(variant.name, variant.kind, measured.metrics, contract, measured.alone);
    described.push(await describeVariant(measured, golden, refusals, detector.graph));
    progress.within((i + 1) / (made.length + 1));
  }

  const limits = [...prepared.limits, ...limitsOf(prepared, described), ...leftOut];
  const draft = manifestDraftSchema.safeParse({
    format: 'drover.manifest/1',
    family: detector.family,
    signature: {
      channels: prepared.channels,
      ...detector.shape,
      warmup: detector.warmup,
      stateReset: detector.stateReset,
    },
    golden: { count: golden.count, window: floatsToBase64(golden.data) },
    variants: described.filter(({ report }) => report.offered).map(({ variant }) => variant),
  });
  if (!draft.success) {
    throw new InvalidInputError('The release does not fit a manifest.', { problems: problemsOf(draft.error) });
  }
  const { signature } = draft.data;
  const card = modelCardOf({ ...assembly, signature, described, limits, createdAt: options.createdAt ?? new Date() });
  progress.enter('done');
  return {
    manifestDraft: draft.data,
    artifacts: described.map(({ artifact }) => artifact),
    card,
    report: {
      family: detector.family,
      trainingWindows: detector.trainedOn.count,
      training: detector.summary,
      variants: described.map(({ report }) => report),
      warnings: card.limits,
    },
  };
}

/** fp32 first. */
async function makeAll(assembly: Assembly): Promise<{ made: MadeVariant[]; leftOut: string[] }> {
  const { prepared, kinds, calibration, probes, seed, progress } = assembly;
  const { signal } = assembly.options;
  const others = kinds.filter(({ kind }) => kind !== 'fp32');
  const contextAt = (i: number): MakingContext => ({
    source: prepared,
    calibration,
    probes,
    seed,
    signal,
    onProgress: (fraction, loss) => progress.within((i + fraction) / others.length, loss),
  });
  const fp32 = await makeFp32(contextAt(0));
  const made = [fp32];
  const leftOut: string[] = [];
  for (const [i, planned] of others.entries()) {
    const context = contextAt(i);
    context.onProgress(0);
    const lack = lackOf(prepared, planned);
    if (lack !== undefined) {
      if (planned.asked) throw new InvalidTrainingOptionsError(`${planned.kind} variants cannot be made: ${lack}.`);
      leftOut.push(`There is no ${planned.kind} variant: ${lack}.`);
      continue;
    }
    const result = await makeVariants(planned, context, fp32);
    made.push(...result.made);
    if (result.leftOut !== undefined) leftOut.push(result.leftOut);
  }
  return { made, leftOut };
}

/** Why a kind cannot be made for want of data: nothing is offered that was not compared with fp32. */
function lackOf({ calibrated, trial }: PreparedModel, { kind }: PlannedKind): string | undefined {
  if (trial.items.length + trial.probes.length === 0) {
    return 'there are no recordings, labelled or normal, to compare it with fp32 on';
  }
  if (kind === 'int8' && !calibrated) return 'there is no calibration data to choose its ranges on';
  return undefined;
}
