import { countPoints, createPolicy } from '@drover/detection';
import type { PointCounts, PolicySpec } from '@drover/detection';
import { scoreInSession, withSession } from '../detector-session.ts';
import { concatFloats, eachWindowBatch } from '../window-set.ts';
import type { Recording, WindowRows, WindowShape } from '../window-set.ts';

/** A recording with labels, and from which row on they count (what comes before may have been trained on). */
export interface EvaluationRecording {
  readonly recording: Recording & { readonly labels: Uint8Array };
  readonly fromRow?: number;
}

export interface RecordingScores extends WindowRows {
  /** One score per window. */
  readonly scores: Float32Array;
}

/** Runs a model over a recording, window by window as a device would. */
export function scoreRecording(model: Uint8Array, recording: Recording, shape: WindowShape): Promise<RecordingScores> {
  return withSession(model, async (session) => {
    const parts: Float32Array[] = [];
    const rows = await eachWindowBatch(recording, shape, async (batch) => {
      parts.push((await scoreInSession(session, batch)).score);
    });
    return { ...rows, scores: concatFloats(parts) };
  });
}

/**
 * The alarm state after each row. Causal: a row's state depends on scores up to it only. Between windows the last state
 * stands; before the first, and from a gap to the next window, there is no alarm. The policy starts at `fromRow`, with no
 * memory of what was trained on.
 */
export function alarmsOf(
  { ends, restarts, scores }: RecordingScores,
  length: number,
  policy: PolicySpec,
  fromRow = 0,
): Uint8Array {
  const alarms = new Uint8Array(length);
  const decide = createPolicy(policy);
  let window = 0;
  let restart = 0;
  let active = false;
  for (let row = 0; row < length; row += 1) {
    if (restarts[restart] === row) {
      decide.interrupt();
      active = false;
      restart += 1;
    }
    if (ends[window] === row) {
      if (row >= fromRow) active = decide.decide([scores[window]!]).active;
      window += 1;
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
  return countPoints(recording.labels, alarms, Math.max(fromRow, scored.ends[0] ?? recording.rows));
}

/** Share of equal decisions of two alarm series, both `[rows]`, from a row on. 1 where nothing is compared. */
export function agreementOf(a: Uint8Array, b: Uint8Array, fromRow = 0): number {
  let same = 0;
  for (let row = fromRow; row < a.length; row += 1) if (a[row] === b[row]) same += 1;
  return a.length <= fromRow ? 1 : same / (a.length - fromRow);
}
