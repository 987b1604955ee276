import { countPoints, createPolicy } from '@drover/detection';
import type { PointCounts, PolicySpec } from '@drover/detection';
import { scoreWindows } from '../detector-session.ts';
import { windowRowsOf, windowsOf } from '../window-set.ts';
import type { Recording, WindowShape } from '../window-set.ts';

/** A recording with labels, and from which row on they count (what comes before may have been trained on). */
export interface EvaluationRecording {
  readonly recording: Recording & { readonly labels: Uint8Array };
  readonly fromRow?: number;
}

export interface RecordingScores {
  /** Rows at which a window ends. */
  readonly rows: Int32Array;
  /** One score per window. */
  readonly scores: Float32Array;
}

/** Runs a model over a recording, window by window as a device would. */
export async function scoreRecording(
  model: Uint8Array,
  recording: Recording,
  shape: WindowShape,
): Promise<RecordingScores> {
  const { score } = await scoreWindows(model, windowsOf([recording], shape));
  return { rows: windowRowsOf(recording, shape), scores: score };
}

/**
 * The alarm state after each row. Causal: a row's state depends on scores up to it only; between windows, and before the
 * first, the last state stands. The policy starts at `fromRow`, with no memory of what was trained on.
 */
export function alarmsOf(
  { rows, scores }: RecordingScores,
  length: number,
  policy: PolicySpec,
  fromRow = 0,
): Uint8Array {
  const alarms = new Uint8Array(length);
  const decide = createPolicy(policy);
  let next = 0;
  let active = false;
  for (let row = 0; row < length; row += 1) {
    while (next < rows.length && rows[next]! <= row) {
      if (rows[next]! >= fromRow) active = decide.decide([scores[next]!]).active;
      next += 1;
    }
    alarms[row] = active ? 1 : 0;
  }
  return alarms;
}

/** Counts of one recording, from its first row that counts and that a window could reach. */
export function countsOf(
  scored: RecordingScores,
  { recording, fromRow = 0 }: EvaluationRecording,
  policy: PolicySpec,
): PointCounts {
  const alarms = alarmsOf(scored, recording.rows, policy, fromRow);
  return countPoints(recording.labels, alarms, Math.max(fromRow, scored.rows[0] ?? recording.rows));
}

/** Share of equal decisions of two alarm series, both `[rows]`, from a row on. 1 where nothing is compared. */
export function agreementOf(a: Uint8Array, b: Uint8Array, fromRow = 0): number {
  let same = 0;
  for (let row = fromRow; row < a.length; row += 1) if (a[row] === b[row]) same += 1;
  return a.length <= fromRow ? 1 : same / (a.length - fromRow);
}
