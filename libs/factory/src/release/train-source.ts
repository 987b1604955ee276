import type { TrainedDetector, TrainingContext, TrainingData } from '../detector.ts';
import { NotEnoughDataError, UnusableDataError } from '../errors.ts';
import { heldOutFrom } from '../evaluation/trial-data.ts';
import { trainFamily } from '../families.ts';
import { channelsOf, recordingRows } from '../window-set.ts';
import type { Recording } from '../window-set.ts';
import { shapeOf } from './made-variant.ts';
import { nameOf } from './prepared-model.ts';
import type { PreparedModel } from './prepared-model.ts';
import type { BuildOptions, TrainSource } from './release-options.ts';
import { releaseTrial } from './release-trial.ts';
import type { NormalRows } from './release-trial.ts';
import { hasState } from './graph-state.ts';
import { samplingOf } from './signature-of.ts';

/**
 * Trains a model for a release. Without labelled recordings, the last part of each recording is held out for measuring,
 * unless that leaves too little to train on.
 *
 * @throws as `Family.train`; InconsistentRecordingError, UnusableDataError
 */
export async function trainSource(
  source: TrainSource,
  options: BuildOptions,
  context: TrainingContext,
  random: () => number,
): Promise<PreparedModel> {
  const { evaluation = [] } = options;
  const channels = channelsOf([...source.recordings, ...evaluation.map(({ recording }) => recording)]);
  const usable = source.recordings.map((recording) => recordingRows(recording, [0, source.trainRows ?? Infinity]));
  refuseEmptyChannels(usable, channels);
  const sampling = samplingOf(usable, options);
  const cuts = usable.map(({ rows }) => (evaluation.length > 0 ? rows : heldOutFrom(rows)));
  const limits: string[] = [];

  const dataOf = (ends: readonly number[]): TrainingData => ({
    ...sampling,
    recordings: usable.map((recording, i) => recordingRows(recording, [0, ends[i]!])),
  });
  let data = dataOf(cuts);
  let detector: TrainedDetector;
  let heldOut = cuts.some((cut, i) => cut < usable[i]!.rows);
  try {
    detector = await trainFamily(source.family, data, context);
  } catch (error) {
    if (!(error instanceof NotEnoughDataError) || !heldOut) throw error;
    heldOut = false;
    data = dataOf(usable.map(({ rows }) => rows));
    detector = await trainFamily(source.family, data, context);
  }
  if (evaluation.length === 0) {
    limits.push(
      heldOut
        ? 'The last fifth of each training recording was not trained on but held out for measuring.'
        : 'There is too little data to hold any out: measured on the recordings that it was trained on.',
    );
  }
  const normal = usable.map((recording, i): NormalRows => {
    const { digest = null } = source.recordings[i]!;
    return { recording, from: heldOut ? cuts[i]! : 0, name: nameOf(source.recordings[i]!, i), digest };
  });
  const made = releaseTrial(
    evaluation,
    // One that is too short to hold anything out was trained on as a whole.
    normal.filter(({ recording, from }) => from < recording.rows),
    { shape: shapeOf(detector), stateful: hasState(detector.graph), random },
  );
  return {
    detector,
    recordings: data.recordings,
    channels: channels.map((name) => ({
      name,
      ...(options.units?.[name] === undefined ? {} : { unit: options.units[name] }),
      kind: 'numeric',
      resampling: 'last',
    })),
    calibrated: true,
    trial: made.trial,
    data: {
      trainedOn: data.recordings.map(({ rows }, i) => ({
        name: nameOf(source.recordings[i]!, i),
        rows,
        digest: source.recordings[i]!.digest ?? null,
      })),
      evaluatedOn: made.evaluatedOn,
    },
    limits: [...limits, ...made.limits, ...timeLimits(usable, options)],
  };
}

function timeLimits(recordings: readonly Recording[], { rateHz }: BuildOptions): string[] {
  if (rateHz !== undefined || recordings.some(({ timesMs }) => timesMs !== undefined)) return [];
  return ['The recordings have no times: one sample a second was assumed.'];
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
