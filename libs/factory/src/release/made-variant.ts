import type { Precision, VariantKind } from '@drover/contracts';
import type { PolicySpec } from '@drover/detection';
import type { ValidModel } from '@drover/onnx';
import type { TrainedDetector } from '../detector.ts';
import { scoreWindows } from '../detector-session.ts';
import type { DetectorShape } from '../detector-session.ts';
import { replayPolicy } from '../evaluation/replay.ts';
import { scoreRecordings } from '../evaluation/score-recording.ts';
import { hasState } from './graph-state.ts';
import { recordingRows, selectWindows } from '../window-set.ts';
import type { Recording, WindowSet } from '../window-set.ts';

/** A variant before it was measured. */
export interface MadeVariant {
  readonly name: string;
  readonly kind: VariantKind;
  readonly precision: Precision;
  /** Size class: `full`, `pruned-50`, `sparse-50`, `student`. */
  readonly size: string;
  readonly model: ValidModel;
  /** The ONNX file. */
  readonly bytes: Uint8Array;
  readonly policy: PolicySpec;
  /** What the policy compares on normal training data, by this variant. */
  readonly normalScores: Float64Array;
  /** The same on windows of normal operation with and without faults, each for itself; empty for a model with state. */
  readonly probeScores: Float64Array;
  /** Chosen ranges of activations, for int8. */
  readonly ranges?: Readonly<Record<string, readonly [low: number, high: number]>>;
  /** The same network trained without its teacher, for a distilled one: to compare with, never published. */
  readonly alone?: { readonly bytes: Uint8Array; readonly policy: PolicySpec };
}

/** What is known of the model that variants are made of. */
export interface VariantSource {
  readonly detector: TrainedDetector;
  /** The file of a model that was brought along: fp32 keeps it to the byte. */
  readonly file?: Uint8Array;
  /** What it was trained on (or calibrated with): normal operation in the order of time. */
  readonly recordings: readonly Recording[];
}

/** How a detector is run. */
export function shapeOf({ shape, warmup, stateReset }: TrainedDetector): DetectorShape {
  return { ...shape, warmup, stateReset };
}

/** The training windows that the trainer took for normal. */
export function normalWindowsOf({ trainedOn, normal }: TrainedDetector): WindowSet {
  return selectWindows(
    trainedOn,
    normal.flatMap((flag, index) => (flag ? [index] : [])),
  );
}

/** Rows of a recording that are enough to know the scores of normal operation. */
const MOST_NORMAL_ROWS = 8_192;

/**
 * What the policy compares on normal training data. Where each window is scored and decided for itself, on the windows that
 * were taken for normal; else on the recordings, in the order of time.
 */
export async function normalScoresOf(
  bytes: Uint8Array,
  policy: PolicySpec,
  { detector, recordings }: VariantSource,
  signal?: AbortSignal,
): Promise<Float64Array> {
  if (!hasState(detector.graph) && policy.kind === 'threshold') return largestScores(bytes, normalWindowsOf(detector));
  // The end: a model with state has found its feet by then.
  const last = recordings.map((recording) =>
    recordingRows(recording, [Math.max(0, recording.rows - MOST_NORMAL_ROWS), recording.rows]),
  );
  const scored = await scoreRecordings(bytes, last, shapeOf(detector), signal);
  const compared = scored.flatMap((scores, i) => {
    const replay = replayPolicy(scores, last[i]!.rows, policy);
    return Array.from(scores.ends, (row) => replay.compared[row]!);
  });
  return Float64Array.from(compared);
}

/** Largest signal of every window, each for itself. */
export async function largestScores(bytes: Uint8Array, windows: WindowSet): Promise<Float64Array> {
  const { score, signals } = await scoreWindows(bytes, windows);
  return Float64Array.from({ length: score.length / signals }, (_, n) =>
    Math.max(...score.subarray(n * signals, (n + 1) * signals)),
  );
}
