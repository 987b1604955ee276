import { recordingRows } from '../window-set.ts';
import type { Recording } from '../window-set.ts';

/** What is trained on and what is held out, in one turn of cross-validation. */
export interface Fold {
  readonly training: readonly Recording[];
  /** One stretch of time. */
  readonly heldOut: Recording;
  /** Rows at the start of `heldOut` that are there for detectors to settle on, and do not count. */
  readonly lead: number;
}

interface Piece {
  readonly recording: Recording;
  readonly from: number;
  readonly to: number;
}

/**
 * Blocks of time, each held out once. A block is contiguous: rows that are neighbours know each other, and a detector that
 * saw them would look better than it is. Each held-out block follows or precedes what was trained on, so drift counts too.
 *
 * @param lead rows before the block that a detector may settle on
 * @param mostRows of a held-out block, which is cut to its first rows
 */
export function foldsOf(
  recordings: readonly Recording[],
  count: number,
  { lead, mostRows }: { readonly lead: number; readonly mostRows: number },
): Fold[] {
  const total = recordings.reduce((sum, { rows }) => sum + rows, 0);
  return Array.from({ length: count }, (_, fold) => {
    const from = Math.floor((fold * total) / count);
    const to = Math.floor(((fold + 1) * total) / count);
    const inside = piecesOf(recordings, from, to);
    const outside = [...piecesOf(recordings, 0, from), ...piecesOf(recordings, to, total)];
    // The longest piece stands for the block: a detector is never led from one recording into another.
    const longest = inside.reduce((a, b) => (b.to - b.from > a.to - a.from ? b : a));
    const before = Math.min(lead, longest.from);
    const end = Math.min(longest.to, longest.from + mostRows);
    return {
      training: outside.map((piece) => recordingRows(piece.recording, [piece.from, piece.to])),
      heldOut: recordingRows(longest.recording, [longest.from - before, end]),
      lead: before,
    };
  });
}

/** The rows from `from` to `to` of all recordings, counted through. */
function piecesOf(recordings: readonly Recording[], from: number, to: number): Piece[] {
  const pieces: Piece[] = [];
  let start = 0;
  for (const recording of recordings) {
    const first = Math.max(0, from - start);
    const last = Math.min(recording.rows, to - start);
    if (last > first) pieces.push({ recording, from: first, to: last });
    start += recording.rows;
  }
  return pieces;
}
