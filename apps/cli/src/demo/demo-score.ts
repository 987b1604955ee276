import { countEvents, countPoints, intervalsOf } from '@drover/detection';
import type { Interval, PointCounts } from '@drover/detection';

/** What of a looped recording was labelled, and when. */
export interface LabelledLoop {
  /** `[rows]`, ms, of the recording itself. */
  readonly timesMs: Float64Array;
  /** `[rows]`, anything but 0 is anomalous. */
  readonly labels: Uint8Array;
  /** Rows before this one are not scored. */
  readonly scoredFrom: number;
}

export interface LoopScore {
  readonly anomaliesLabelled: number;
  readonly anomaliesFound: number;
  readonly falseAlarms: number;
  readonly points: PointCounts;
}

/** A detection as the API reports it; `endMs` null where it is still open. */
export interface Detection {
  readonly startMs: number;
  readonly endMs: number | null;
}

/** One pass of a looped recording: from its first row to the first row of the next pass. */
export function loopLengthMs(timesMs: Float64Array): number {
  const span = timesMs.at(-1)! - timesMs[0]!;
  return span + span / (timesMs.length - 1);
}

/**
 * Holds detections of exactly one pass of a looped recording against its labels. A pass may begin anywhere in the recording:
 * every row is seen once.
 *
 * @param fromMs the device's time at which the scored pass begins
 */
export function scoreLoop(loop: LabelledLoop, detections: readonly Detection[], fromMs: number): LoopScore {
  const { timesMs, labels, scoredFrom } = loop;
  const length = loopLengthMs(timesMs);
  const rows = timesMs.length;
  const spacing = length / rows;
  // Row i is seen at its time plus a whole number of passes: the first one that is not before the pass begins.
  const seenMs = Array.from(timesMs, (time) => time + Math.ceil((fromMs - time) / length - 1e-9) * length);
  const untilMs = fromMs + length;
  const clipped: Interval[] = detections
    .map(({ startMs, endMs }) => ({ startMs: Math.max(startMs, fromMs), endMs: Math.min(endMs ?? untilMs, untilMs) }))
    .filter(({ startMs, endMs }) => endMs >= startMs);
  const detected = Uint8Array.from(seenMs, (time) =>
    clipped.some(({ startMs, endMs }) => time >= startMs && time <= endMs) ? 1 : 0,
  );
  // Events are counted in the recording's own time: an interval that the pass cuts in two is one event.
  const own = clipped.flatMap((interval) => foldBack(interval, timesMs[0]!, length));
  const firstMs = timesMs[scoredFrom] ?? Number.POSITIVE_INFINITY;
  const labelled = intervalsOf(labels, timesMs).filter(({ endMs }) => endMs >= firstMs);
  const events = countEvents(
    labelled,
    own.filter(({ endMs }) => endMs >= firstMs),
    { lagMs: spacing },
  );
  return {
    anomaliesLabelled: events.labelled,
    anomaliesFound: events.found,
    falseAlarms: events.falseAlarms,
    points: countPoints(labels, detected, scoredFrom),
  };
}

/** An interval of the looped time as one or two intervals of the recording's own time. */
function foldBack({ startMs, endMs }: Interval, firstMs: number, length: number): Interval[] {
  const offset = Math.floor((startMs - firstMs) / length) * length;
  const start = startMs - offset;
  const end = endMs - offset;
  const last = firstMs + length;
  return end < last
    ? [{ startMs: start, endMs: end }]
    : [
        { startMs: start, endMs: last - 1 },
        { startMs: firstMs, endMs: end - length },
      ];
}
