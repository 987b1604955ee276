import { manifestSchema } from '@drover/contracts';
import type { Manifest } from '@drover/contracts';
import { InvalidInputError, problemsOf } from '@drover/runtime';
import { UnusableDataError } from '../errors.ts';
import type { EvaluationRecording } from '../evaluation/replay.ts';
import { injectFaults } from '../evaluation/synthetic-faults.ts';
import { trainFamily } from '../families.ts';
import type { FamilySpec } from '../families.ts';
import { seededRandom } from '../random.ts';
import { channelsOf, concatWindows, recordingRows, thinned } from '../window-set.ts';
import type { Recording } from '../window-set.ts';
import { describeVariant } from './describe-variant.ts';
import type { Artifact, DescribedVariant, VariantReport } from './describe-variant.ts';
import { floatsToBase64, goldenWindows } from './golden-vectors.ts';
import { makeFp32, makeInt8, normalWindowsOf } from './make-variants.ts';
import type { VariantPrecision } from './make-variants.ts';
import { metricsOf, runTrial } from './measure-variant.ts';
import type { TrialData } from './measure-variant.ts';
import { samplingOf } from './signature-of.ts';
import type { ShapeOptions } from './signature-of.ts';

/** A manifest without what only the control plane knows: fleet, model, release and time. */
export const manifestDraftSchema = manifestSchema.omit({ fleet: true, model: true, release: true, createdAt: true });
export type ManifestDraft = Omit<Manifest, 'fleet' | 'model' | 'release' | 'createdAt'>;

export interface BuildProgress {
  readonly percent: number;
  readonly phase: 'preparing' | 'training' | 'compressing' | 'measuring' | 'done';
}

export interface BuildOptions extends ShapeOptions {
  /** Normal operation; all with the same channels. A small share of anomalies does little harm. */
  readonly recordings: readonly Recording[];
  /** First row and row after the last to train on, of each recording. All by default. */
  readonly trainRows?: readonly [from: number, to: number];
  /** Labelled recordings to measure quality on; never used for training or thresholds. */
  readonly evaluation?: readonly EvaluationRecording[];
  /** Principal components by default. */
  readonly family?: FamilySpec;
  /** Both by default. fp32 is always made, to compare with. */
  readonly precisions?: readonly VariantPrecision[];
  /** Units by channel name. */
  readonly units?: Readonly<Record<string, string>>;
  readonly seed?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: BuildProgress) => void;
}

export interface BuildReport {
  readonly family: string;
  readonly trainingWindows: number;
  readonly training: Readonly<Record<string, unknown>>;
  readonly variants: readonly VariantReport[];
  /** For a person: what is unusual, though not wrong. */
  readonly warnings: readonly string[];
}

export interface BuiltRelease {
  readonly manifestDraft: ManifestDraft;
  /** Every artifact that the manifest names. */
  readonly artifacts: readonly Artifact[];
  readonly report: BuildReport;
}

const PROBE_WINDOWS = 500;

/**
 * Trains a model on recordings and makes a release of it: variants, their artifacts, thresholds, golden vectors, metrics.
 * Deterministic for the same input and seed on the same machine.
 *
 * @throws NotEnoughDataError, UnusableDataError, InconsistentRecordingError, InvalidTrainingOptionsError for input that
 *   cannot work; the signal's reason when aborted
 */
export async function buildRelease(options: BuildOptions): Promise<BuiltRelease> {
  const { recordings, evaluation = [], family = { name: 'pca' }, seed = 1, precisions = ['fp32', 'int8'] } = options;
  const enter = (percent: number, phase: BuildProgress['phase']): void => {
    options.signal?.throwIfAborted();
    options.onProgress?.({ percent, phase });
  };

  enter(0, 'preparing');
  const channels = channelsOf([...recordings, ...evaluation.map(({ recording }) => recording)]);
  refuseEmptyChannels(recordings, channels);
  const sampling = samplingOf(recordings, options);

  enter(10, 'training');
  const detector = await trainFamily(
    family,
    { ...sampling, recordings: recordings.map((recording) => recordingRows(recording, options.trainRows)) },
    { seed, signal: options.signal },
  );
  const { shape } = detector;

  enter(50, 'compressing');
  const random = seededRandom(seed);
  const fp32 = await makeFp32(detector);
  const made = [fp32, ...(precisions.includes('int8') ? [await makeInt8(detector, fp32, random)] : [])];

  enter(70, 'measuring');
  const normal = normalWindowsOf(detector);
  const golden = goldenWindows(normal, random);
  const probes = thinned(normal, PROBE_WINDOWS);
  const trial: TrialData = { shape, evaluation, probes: concatWindows(probes, injectFaults(probes, random)) };
  const reference = { variant: fp32, result: await runTrial(fp32, trial) };
  const described: DescribedVariant[] = [];
  for (const variant of made) {
    enter(70 + Math.round((25 * described.length) / made.length), 'measuring');
    const metrics =
      variant === fp32
        ? metricsOf(variant, reference.result, trial)
        : metricsOf(variant, await runTrial(variant, trial), trial, reference);
    described.push(await describeVariant(variant, metrics, golden));
  }

  const offered = described.filter(({ precision }) => precisions.includes(precision));
  const draft = manifestDraftSchema.safeParse({
    format: 'drover.manifest/1',
    family: detector.family,
    signature: {
      channels: channels.map((name) => ({ name, unit: options.units?.[name], kind: 'numeric', resampling: 'last' })),
      ...shape,
      warmup: detector.warmup,
      stateReset: detector.stateReset,
    },
    golden: { count: golden.count, window: floatsToBase64(golden.data) },
    variants: offered.map(({ variant }) => variant),
  });
  if (!draft.success) {
    throw new InvalidInputError('The release does not fit a manifest.', { problems: problemsOf(draft.error) });
  }
  enter(100, 'done');
  return {
    manifestDraft: draft.data,
    artifacts: offered.map(({ artifact }) => artifact),
    report: {
      family: detector.family,
      trainingWindows: detector.trainedOn.count,
      training: detector.summary,
      variants: described.map(({ report }) => report),
      warnings: warningsOf(channels, detector.normal, detector.constantChannels, described),
    },
  };
}

/** A channel without a single value would leave no whole window, which says less than its name. */
function refuseEmptyChannels(recordings: readonly Recording[], channels: readonly string[]): void {
  const empty = channels.filter((_, c) =>
    recordings.every(({ values, rows }) => {
      for (let row = 0; row < rows; row += 1) if (Number.isFinite(values[row * channels.length + c]!)) return false;
      return true;
    }),
  );
  if (empty.length > 0) throw new UnusableDataError(`No value at all in: ${empty.join(', ')}.`);
}

function warningsOf(
  channels: readonly string[],
  normal: readonly boolean[],
  constant: readonly number[],
  described: readonly DescribedVariant[],
): string[] {
  const warnings: string[] = [];
  const setAside = normal.filter((flag) => !flag).length;
  if (constant.length > 0) {
    const names = constant.map((c) => channels[c]).join(', ');
    warnings.push(`Never changes in the training data, so it is not watched: ${names}.`);
  }
  if (setAside > 0) {
    warnings.push(`${setAside} of ${normal.length} training windows look abnormal and were set aside.`);
  }
  for (const { report } of described) {
    const left = report.optimised.leftoverDequantize.length;
    if (left > 0)
      warnings.push(`${report.name}: ${left} DequantizeLinear left after optimisation; it runs in float there.`);
  }
  return warnings;
}
