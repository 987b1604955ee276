import { decisionPolicySchema, modelSignatureSchema } from '@drover/contracts';
import type { ModelSignature } from '@drover/contracts';
import type { PolicySpec } from '@drover/detection';
import { decodeModel } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { refuseUnaffordable } from '../compression/refuse-unaffordable.ts';
import { InvalidInputError, problemsOf } from '@drover/runtime';
import type { TrainedDetector } from '../detector.ts';
import { openDetector, scoreWindows } from '../detector-session.ts';
import type { DetectorShape } from '../detector-session.ts';
import {
  BrokenModelError,
  InconsistentRecordingError,
  InvalidTrainingOptionsError,
  NotEnoughDataError,
  UnsupportedGraphError,
  UnusableDataError,
} from '../errors.ts';
import { scoreRecording } from '../evaluation/score-recording.ts';
import { quantile } from '../quantile.ts';
import { recordingRows, windowsOf } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';
import { hasState } from './graph-state.ts';
import { nameOf } from './prepared-model.ts';
import type { PreparedModel } from './prepared-model.ts';
import type { BuildOptions, ImportSource, NamedRecording } from './release-options.ts';
import { releaseTrial } from './release-trial.ts';
import { IMPORTED_FAMILY } from './variant-kinds.ts';

/** Windows kept for ranges and golden vectors. */
const MOST_WINDOWS = 4_000;
/** Rows of each calibration recording that the model is tried on. */
const MOST_TRIED_ROWS = 16_384;
const FEWEST_WINDOWS = 32;

/**
 * A model that somebody else has trained: decoded, checked against the detector contract and its signature, tried on the
 * calibration data, and given a policy where it has none.
 *
 * @throws MalformedModelError, InvalidModelError and the other errors of `decodeModel`; UnaffordableModelError where it
 *   would take too much memory; InvalidGraphError, DetectorContractError naming every difference; UnsupportedGraphError for scores that are no numbers;
 *   InvalidInputError for a signature or policy that is none; InconsistentRecordingError for calibration with other channels; InvalidTrainingOptionsError without policy and
 *   calibration; UnusableDataError where no policy can be found
 */
export async function importSource(
  source: ImportSource,
  options: BuildOptions,
  random: () => number,
): Promise<PreparedModel> {
  const { calibration = [] } = source;
  const signature = checkedSignature(source);
  const { evaluation = [] } = options;
  const names = signature.channels.map(({ name }) => name);
  const graph = decodeModel(source.model);
  refuseUnaffordable(graph, { window: signature.window, channels: names.length });
  const { window, stride, rateHz, maxGapMs, warmup, stateReset } = signature;
  const shape: DetectorShape = { window, stride, rateHz, maxGapMs, warmup, stateReset };
  await (await openDetector(source.model, shape, names)).session.release();
  for (const [what, list] of [
    ['Calibration', calibration],
    ['Evaluation', evaluation.map(({ recording }) => recording)],
  ] as const) {
    for (const [i, recording] of list.entries()) refuseOtherChannels(`${what} recording ${i + 1}`, recording, names);
  }
  if (source.policy === undefined && calibration.length === 0) {
    throw new InvalidTrainingOptionsError(
      'Without a policy, recordings of normal operation are needed to find the threshold: give calibration or a policy.',
    );
  }
  const scores = await triedOn(source.model, calibration, shape);
  const policy = source.policy ?? foundPolicy(scores);
  const windows =
    calibration.length === 0
      ? madeUpWindows(signature, random)
      : windowsOf(calibration, shape, undefined, MOST_WINDOWS);
  if (calibration.length === 0) await scoreWindows(source.model, windows).catch(blamingModel('windows around zero'));
  const made = releaseTrial(
    evaluation,
    calibration.map((recording, i) => ({
      recording,
      from: 0,
      name: nameOf(recording, i),
      digest: recording.digest ?? null,
    })),
    { shape, stateful: hasState(graph), random },
  );
  return {
    detector: detectorOf(graph, shape, policy, windows),
    file: source.model,
    recordings: calibration,
    channels: signature.channels,
    calibrated: calibration.length > 0,
    trial: made.trial,
    data: {
      trainedOn: calibration.map((recording, i) => ({
        name: nameOf(recording, i),
        rows: recording.rows,
        digest: recording.digest ?? null,
      })),
      evaluatedOn: made.evaluatedOn,
    },
    limits: [
      'The model was brought along: what it was trained on is not known here.',
      ...(calibration.length === 0
        ? [
            'There is no calibration data: golden vectors are of made-up windows, and nothing that needs ranges was made.',
          ]
        : ['“Trained on” names the recordings that it was calibrated with.']),
      ...(source.policy === undefined ? ['Its threshold was found on the calibration data.'] : []),
      ...made.limits,
    ],
  };
}

/** Before anything is run: at the end, the manifest would be refused for it. */
function checkedSignature({ signature, policy }: ImportSource): ModelSignature {
  const signatureRead = modelSignatureSchema.safeParse(signature);
  const policyRead = decisionPolicySchema.optional().safeParse(policy);
  const problems = [
    ...(signatureRead.success ? [] : problemsOf(signatureRead.error, 'signature')),
    ...(policyRead.success ? [] : problemsOf(policyRead.error, 'policy')),
  ];
  if (!signatureRead.success || problems.length > 0) {
    throw new InvalidInputError('The model’s signature or policy is not valid.', { problems });
  }
  return signatureRead.data;
}

function refuseOtherChannels(what: string, { channels }: NamedRecording, names: readonly string[]): void {
  if (channels.join('\n') === names.join('\n')) return;
  throw new InconsistentRecordingError(
    `${what} has the channels ${channels.join(', ')}; the signature has ${names.join(', ')}.`,
  );
}

/** Scores that are no numbers are the fault of whoever made the model. */
function blamingModel(data: string): (cause: unknown) => never {
  return (cause) => {
    throw cause instanceof BrokenModelError
      ? new UnsupportedGraphError(`On ${data}, the model gives scores that are no numbers.`, { cause })
      : cause;
  };
}

/** Largest signal per window of normal operation. */
async function triedOn(
  model: Uint8Array,
  calibration: readonly NamedRecording[],
  shape: DetectorShape,
): Promise<Float64Array> {
  const found: number[] = [];
  for (const recording of calibration) {
    const rows = recordingRows(recording, [0, MOST_TRIED_ROWS]);
    const { scores, signals } = await scoreRecording(model, rows, shape).catch(blamingModel('the calibration data'));
    for (let at = 0; at < scores.length; at += signals) found.push(Math.max(...scores.subarray(at, at + signals)));
  }
  if (calibration.length > 0 && found.length < FEWEST_WINDOWS) {
    throw new NotEnoughDataError(
      `The calibration data has ${found.length} whole windows of ${shape.window} samples after the warm-up, at least ` +
        `${FEWEST_WINDOWS} are needed. Are there gaps or missing values?`,
    );
  }
  return Float64Array.from(found);
}

const RELEASE_LEVEL = 1.5;
const ALARM_LEVEL = 2;

/**
 * A threshold as far over the 95 % quantile of normal scores as that is over their median, which does not change with the
 * score's scale or offset and is not moved by a few anomalies among the data.
 */
function foundPolicy(scores: Float64Array): PolicySpec {
  const median = quantile(scores, 0.5);
  const spread = quantile(scores, 0.95) - median;
  const threshold = median + ALARM_LEVEL * spread;
  if (!(spread > 0)) {
    throw new UnusableDataError(
      'The model’s score does not vary on the calibration data: give a policy with the model.',
    );
  }
  if (!(threshold > 0)) {
    throw new UnusableDataError(
      `An alarm would start at a score of ${threshold.toPrecision(4)}, but thresholds are positive: let the graph add a ` +
        'constant to its score.',
    );
  }
  const releaseRatio = Math.min(1, Math.max(0.25, (median + RELEASE_LEVEL * spread) / threshold));
  return { kind: 'threshold', threshold, releaseRatio, minLength: 3 };
}

/** Where there is no data: standard normal values, only good for seeing that a device computes the same. */
function madeUpWindows({ window, channels }: ModelSignature, random: () => number): WindowSet {
  const count = 64;
  const size = count * window * channels.length;
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return { data: Float32Array.from({ length: size }, normal), count, window, channels: channels.length, overlap: 0 };
}

function detectorOf(graph: ValidModel, shape: DetectorShape, policy: PolicySpec, windows: WindowSet): TrainedDetector {
  const { window, stride, rateHz, maxGapMs, warmup = 0, stateReset = 'gap' } = shape;
  return {
    family: IMPORTED_FAMILY,
    graph,
    shape: { window, stride, rateHz, maxGapMs },
    policy,
    warmup,
    stateReset,
    trainedOn: windows,
    normal: Array.from({ length: windows.count }, () => true),
    constantChannels: [],
    summary: {},
  };
}
