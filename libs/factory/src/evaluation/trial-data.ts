import { concatFloats, recordingRows } from '../window-set.ts';
import type { Recording } from '../window-set.ts';
import { injectRecordingFaults } from './recording-faults.ts';
import type { EvaluationRecording } from './replay.ts';

/** Of a training recording, what is held out for measuring. */
const HELD_OUT_SHARE = 0.2;
/** Fewer rows show nothing. */
const FEWEST_HELD_OUT = 24;
/** Few rows are used again with other faults, until there are this many of either … */
const WANTED_ROWS = 4_000;
const WANTED_FAULTS = 48;
/** … or this many copies. */
const MOST_COPIES = 60;
/** Sizes of faults, deviations: from what nobody sees to what nobody misses, so that decisions of either kind are compared. */
const SMALLEST = 1;
const LARGEST = 10;

/** Rows that a model may be trained on, and rows after them that it has not seen. */
export interface HoldOut {
  readonly recording: Recording;
  /** First row that is not trained on. */
  readonly from: number;
}

/** @param rows of the recording that may be used @returns its first held-out row; `rows` where it is too short for any */
export function heldOutFrom(rows: number): number {
  const held = Math.floor(rows * HELD_OUT_SHARE);
  return held < FEWEST_HELD_OUT ? rows : rows - held;
}

/**
 * Recordings with faults in their held-out rows. Before these come rows as they were, as many as the model needs to find its
 * feet; they do not count. Short ones are used several times, each time with other faults.
 *
 * @param leadRows before the first held-out row
 * @param mostRows of all copies together, about
 */
export function faultyHoldOuts(
  holdOuts: readonly HoldOut[],
  leadRows: number,
  random: () => number,
  mostRows = Infinity,
): EvaluationRecording[] {
  const items: EvaluationRecording[] = [];
  let rows = 0;
  let faults = 0;
  for (let copy = 0; copy < MOST_COPIES; copy += 1) {
    for (const { recording, from } of holdOuts) {
      if (rows >= mostRows) return items;
      const lead = recordingRows(recording, [Math.max(0, from - leadRows), from]);
      const held = injectRecordingFaults(
        recordingRows(recording, [from, Math.min(recording.rows, from + mostRows)]),
        random,
        { smallest: SMALLEST, largest: LARGEST, lengths: [8, 64], lead: 16, reference: recording },
      );
      if (held.faults.length === 0) continue;
      items.push(joined(lead, held));
      rows += held.rows;
      faults += held.faults.length;
    }
    if (items.length === 0 || (rows >= WANTED_ROWS && faults >= WANTED_FAULTS)) break;
  }
  return items;
}

function joined(lead: Recording, held: Recording & { readonly labels: Uint8Array }): EvaluationRecording {
  const labels = new Uint8Array(lead.rows + held.rows);
  labels.set(held.labels, lead.rows);
  const times =
    lead.timesMs === undefined || held.timesMs === undefined
      ? {}
      : { timesMs: Float64Array.from([...lead.timesMs, ...held.timesMs]) };
  return {
    recording: {
      channels: held.channels,
      rows: labels.length,
      values: concatFloats([lead.values, held.values]),
      labels,
      ...times,
    },
    fromRow: lead.rows,
  };
}

/**
 * Bounds the time that measuring takes: where the recordings have more rows than `mostRows`, of each a stretch in
 * proportion, the one whose share of labelled rows comes closest to that of the whole recording.
 *
 * @param leadRows kept before each stretch; they do not count
 */
export function boundedItems(
  items: readonly EvaluationRecording[],
  mostRows: number,
  leadRows: number,
): { readonly items: readonly EvaluationRecording[]; readonly cut: boolean } {
  const counted = items.reduce((sum, { recording, fromRow = 0 }) => sum + Math.max(0, recording.rows - fromRow), 0);
  if (counted <= mostRows) return { items, cut: false };
  return { cut: true, items: items.map((item) => stretchOf(item, mostRows / counted, leadRows)) };
}

/** Stretches that are compared start this share of their length apart. */
const STEP_SHARE = 1 / 8;

function stretchOf(
  { recording, fromRow = 0 }: EvaluationRecording,
  share: number,
  leadRows: number,
): EvaluationRecording {
  const length = Math.max(1, Math.floor((recording.rows - fromRow) * share));
  const upTo = new Uint32Array(recording.rows + 1);
  for (let row = 0; row < recording.rows; row += 1) upTo[row + 1] = upTo[row]! + (recording.labels[row] === 0 ? 0 : 1);
  const labelled = (from: number, to: number): number => (upTo[to]! - upTo[from]!) / Math.max(1, to - from);
  const whole = labelled(fromRow, recording.rows);
  let best = fromRow;
  const step = Math.max(1, Math.floor(length * STEP_SHARE));
  for (let at = fromRow; at + length <= recording.rows; at += step) {
    const off = Math.abs(labelled(at, at + length) - whole);
    if (off < Math.abs(labelled(best, best + length) - whole)) best = at;
  }
  const start = Math.max(0, best - leadRows);
  return {
    recording: {
      ...recordingRows(recording, [start, best + length]),
      labels: recording.labels.subarray(start, best + length),
    },
    fromRow: best - start,
  };
}
