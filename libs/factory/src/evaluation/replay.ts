import { countPoints, createPolicy } from '@drover/detection';
import type { PointCounts, PolicySpec } from '@drover/detection';
import type { Recording } from '../window-set.ts';
import type { RecordingScores } from './score-recording.ts';

/** A recording with labels, and from which row on they count (what comes before may have been trained on). */
export interface EvaluationRecording {
  readonly recording: Recording & { readonly labels: Uint8Array };
  readonly fromRow?: number;
}

/** What a policy made of scores, row by row. */
export interface Replay {
  /** `[rows]`, 1 while an alarm is on. */
  readonly alarms: Uint8Array;
  /** `[rows]`: what the policy compares with its threshold; NaN where no window reached the row. */
  readonly compared: Float64Array;
}

/**
 * The alarm state after each row. Causal: a row's state depends on scores up to it only. Between windows the last state
 * stands; before the first, and from a gap to the next window, there is no alarm. The policy starts at `fromRow`, with no
 * memory of what was trained on.
 */
export function replayPolicy(scored: RecordingScores, rows: number, policy: PolicySpec, fromRow = 0): Replay {
  const { ends, restarts, scores, signals } = scored;
  const alarms = new Uint8Array(rows);
  const compared = new Float64Array(rows).fill(Number.NaN);
  const decide = createPolicy(policy);
  let window = 0;
  let restart = 0;
  let active = false;
  let value = Number.NaN;
  for (let row = 0; row < rows; row += 1) {
    if (restarts[restart] === row) {
      decide.interrupt();
      active = false;
      value = Number.NaN;
      restart += 1;
    }
    if (ends[window] === row) {
      if (row >= fromRow) {
        const decision = decide.decide(scores.subarray(window * signals, (window + 1) * signals));
        active = decision.active;
        value = decision.compared;
      }
      window += 1;
    }
    alarms[row] = active ? 1 : 0;
    compared[row] = value;
  }
  return { alarms, compared };
}

/** The alarm state after each row, as `replayPolicy`. */
export function alarmsOf(scored: RecordingScores, rows: number, policy: PolicySpec, fromRow = 0): Uint8Array {
  return replayPolicy(scored, rows, policy, fromRow).alarms;
}

/** The first row that counts: of those that may, the first that a window reached. */
export function firstCountedRow(scored: RecordingScores, { recording, fromRow = 0 }: EvaluationRecording): number {
  return Math.min(recording.rows, Math.max(fromRow, scored.ends[0] ?? recording.rows));
}

/** Counts of one recording, from its first row that counts. */
export function countsOf(scored: RecordingScores, item: EvaluationRecording, policy: PolicySpec): PointCounts {
  const { recording, fromRow } = item;
  return countPoints(
    recording.labels,
    alarmsOf(scored, recording.rows, policy, fromRow),
    firstCountedRow(scored, item),
  );
}

/** Share of equal decisions of two alarm series, both `[rows]`, from a row on. 1 where nothing is compared. */
export function agreementOf(a: Uint8Array, b: Uint8Array, fromRow = 0): number {
  let same = 0;
  for (let row = fromRow; row < a.length; row += 1) if (a[row] === b[row]) same += 1;
  return a.length <= fromRow ? 1 : same / (a.length - fromRow);
}
