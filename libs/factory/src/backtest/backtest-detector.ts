import type { DetectorSignature, PolicySpec } from '@drover/detection';
import { encodeModel } from '@drover/onnx';
import type { TrainingContext } from '../detector.ts';
import { UnusableDataError } from '../errors.ts';
import { trainFamily } from '../families.ts';
import type { FamilySpec } from '../families.ts';
import type { Recording } from '../window-set.ts';
import { recordingRows } from '../window-set.ts';
import { samplingOfRows } from './sampling-rule.ts';

/** A detector as a device has it: from a release, or trained for the occasion. */
export interface BacktestDetector {
  readonly family: string;
  /** The ONNX file. */
  readonly model: Uint8Array;
  readonly signature: DetectorSignature;
  readonly policy: PolicySpec;
  /** What the trainer tells of itself; absent for a release. */
  readonly summary?: Readonly<Record<string, unknown>>;
}

export interface BacktestTraining extends TrainingContext {
  readonly family: FamilySpec;
  /** W; the family decides where it is left out. */
  readonly window?: number | undefined;
  readonly stride?: number | undefined;
  /** Found in the times of the rows where left out. */
  readonly maxGapMs?: number | undefined;
}

/**
 * Trains a detector on the first rows of a recording, and on nothing else: labels are taken off, rate and gap rule come
 * from the times of these rows. Channels that have no value in them are left out, because nothing is known of them.
 *
 * @param rows how many rows of the recording may be looked at
 * @throws as the family's `train`; UnusableDataError where no channel has a value
 */
export async function trainOnFirstRows(
  recording: Recording,
  rows: number,
  { family, window, stride = 1, maxGapMs, ...context }: BacktestTraining,
): Promise<BacktestDetector> {
  const seen = withValues(recordingRows(recording, [0, rows]));
  const sampling = samplingOfRows(seen.timesMs ?? []);
  const detector = await trainFamily(
    family,
    {
      recordings: [seen],
      ...(window === undefined ? {} : { window }),
      stride,
      rateHz: sampling.rateHz,
      maxGapMs: maxGapMs ?? sampling.maxGapMs,
    },
    context,
  );
  return {
    family: detector.family,
    model: encodeModel(detector.graph),
    signature: {
      channels: seen.channels.map((name) => ({ name, kind: 'numeric', resampling: 'last' })),
      ...detector.shape,
      warmup: detector.warmup,
      stateReset: detector.stateReset,
    },
    policy: detector.policy,
    summary: detector.summary,
  };
}

function withValues(recording: Recording): Recording {
  const { channels, rows, values } = recording;
  const width = channels.length;
  const kept = [...channels.keys()].filter((c) => {
    for (let row = 0; row < rows; row += 1) if (Number.isFinite(values[row * width + c])) return true;
    return false;
  });
  if (kept.length === width) return recording;
  if (kept.length === 0) throw new UnusableDataError('No channel has a value in the rows to train on.');
  const packed = new Float32Array(rows * kept.length);
  for (let row = 0; row < rows; row += 1) {
    for (const [to, from] of kept.entries()) packed[row * kept.length + to] = values[row * width + from]!;
  }
  return { ...recording, channels: kept.map((c) => channels[c]!), values: packed };
}
