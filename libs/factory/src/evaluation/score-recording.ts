import { WindowBuilder, windowSpecOf } from '@drover/detection';
import { openDetector, refuseNoNumbers } from '../detector-session.ts';
import type { DetectorShape, OpenDetector } from '../detector-session.ts';
import { channelsOf } from '../window-set.ts';
import type { Recording, WindowRows } from '../window-set.ts';

export interface RecordingScores extends WindowRows {
  /** `[N, S]`: of the windows that end at `ends`. */
  readonly scores: Float32Array;
  /** S */
  readonly signals: number;
}

/** How often somebody who waits is asked whether to go on. */
const ROWS_PER_CHECK = 4_096;

/**
 * Runs a model over a recording as a device would: windows in the order of time, state kept from one to the next and reset
 * at gaps where the shape says so, windows of the warm-up scored but left out of the result.
 *
 * Models without state are run in batches of a fixed size, the last one filled up, so that a window's score does not depend
 * on how many follow it. Memory grows by 4 × (S + 1) bytes a window.
 *
 * @throws BrokenModelError for scores that are no numbers; DetectorContractError, InvalidGraphError for a model that is no
 *   detector for this recording; the signal's reason when aborted
 */
export async function scoreRecording(
  model: Uint8Array,
  recording: Recording,
  shape: DetectorShape,
  signal?: AbortSignal,
): Promise<RecordingScores> {
  const [scored] = await scoreRecordings(model, [recording], shape, signal);
  return scored!;
}

/** The same for several recordings with the same channels; each starts from empty state. */
export async function scoreRecordings(
  model: Uint8Array,
  recordings: readonly Recording[],
  shape: DetectorShape,
  signal?: AbortSignal,
): Promise<RecordingScores[]> {
  if (recordings.length === 0) return [];
  const detector = await openDetector(model, shape, channelsOf(recordings));
  try {
    const scored: RecordingScores[] = [];
    for (const recording of recordings) scored.push(await scoreWith(detector, recording, signal));
    return scored;
  } finally {
    await detector.session.release();
  }
}

async function scoreWith(
  { session, signature }: OpenDetector,
  { rows, values, timesMs, channels: { length: width } }: Recording,
  signal: AbortSignal | undefined,
): Promise<RecordingScores> {
  const { batch, signals } = session;
  const builder = new WindowBuilder(windowSpecOf(signature, session.contract.mask));
  const size = signature.window * width;
  const ends: number[] = [];
  const restarts: number[] = [];
  const scores: number[] = [];
  /** Of the windows that wait for their run: whether they are acted on. */
  const waiting: boolean[] = [];
  const flush = async (): Promise<void> => {
    if (waiting.length === 0) return;
    await session.run();
    refuseNoNumbers(session.score.subarray(0, waiting.length * signals));
    for (const [slot, counts] of waiting.entries()) {
      if (!counts) continue;
      for (let s = 0; s < signals; s += 1) scores.push(session.score[slot * signals + s]!);
    }
    waiting.length = 0;
  };
  session.resetState();
  for (let row = 0; row < rows; row += 1) {
    if (row % ROWS_PER_CHECK === 0) signal?.throwIfAborted();
    const step = builder.push(timesMs?.[row] ?? (row * 1_000) / signature.rateHz, values, row * width);
    if (builder.restarted) {
      restarts.push(row);
      // With state, a batch is one window: nothing waits in it.
      if (signature.stateReset === 'gap') session.resetState();
    }
    if (step === 'none') continue;
    const slot = waiting.length;
    builder.copyWindow(session.window, slot * size);
    if (session.mask !== undefined) builder.copyMask(session.mask, slot * size);
    if (session.time !== undefined) builder.copyTimes(session.time, slot * signature.window);
    waiting.push(step === 'ready');
    if (step === 'ready') ends.push(row);
    if (waiting.length === batch) await flush();
  }
  await flush();
  return {
    ends: Int32Array.from(ends),
    restarts: Int32Array.from(restarts),
    scores: Float32Array.from(scores),
    signals,
  };
}
