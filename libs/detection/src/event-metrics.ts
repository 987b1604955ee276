/** A span of time, both ends inclusive, milliseconds. */
export interface Interval {
  readonly startMs: number;
  readonly endMs: number;
}

export interface EventCounts {
  readonly labelled: number;
  /** Labelled intervals that at least one detection overlaps. */
  readonly found: number;
  readonly detected: number;
  /** Detections that overlap no labelled interval. */
  readonly falseAlarms: number;
  /** Per found interval, from its start to the first overlapping detection's, in order; 0 where the detection came before. */
  readonly delaysMs: readonly number[];
}

export interface EventMatching {
  /**
   * How long after a labelled interval a detection still belongs to it. A window of W samples holds the last faulty one
   * for W − 1 samples, so that many periods are fair. Default 0.
   */
  readonly lagMs?: number;
}

/** Runs of samples that are not 0, as intervals from the first to the last sample of each. */
export function intervalsOf(labels: ArrayLike<number>, timesMs: ArrayLike<number>): Interval[] {
  const intervals: Interval[] = [];
  let start = -1;
  for (let i = 0; i <= labels.length; i += 1) {
    const on = i < labels.length && labels[i] !== 0;
    if (on && start < 0) start = i;
    if (!on && start >= 0) {
      intervals.push({ startMs: timesMs[start]!, endMs: timesMs[i - 1]! });
      start = -1;
    }
  }
  return intervals;
}

/** Matches detections with labelled intervals by overlap. Neither list has to be sorted. O(n log n). */
export function countEvents(
  labelled: readonly Interval[],
  detected: readonly Interval[],
  matching: EventMatching = {},
): EventCounts {
  const lagMs = matching.lagMs ?? 0;
  const labels = byStart(labelled.map(({ startMs, endMs }) => ({ startMs, endMs: endMs + lagMs })));
  const detections = byStart(detected);
  const delaysMs: number[] = [];
  for (const { startMs, endMs } of labelled) {
    const first = firstOverlap(detections, { startMs, endMs: endMs + lagMs });
    if (first !== undefined) delaysMs.push(Math.max(0, first.startMs - startMs));
  }
  const falseAlarms = detected.filter((detection) => firstOverlap(labels, detection) === undefined).length;
  return { labelled: labelled.length, found: delaysMs.length, detected: detected.length, falseAlarms, delaysMs };
}

/** Counts of several recordings as of one. */
export function poolEvents(all: Iterable<EventCounts>): EventCounts {
  const pooled = { labelled: 0, found: 0, detected: 0, falseAlarms: 0, delaysMs: [] as number[] };
  for (const counts of all) {
    pooled.labelled += counts.labelled;
    pooled.found += counts.found;
    pooled.detected += counts.detected;
    pooled.falseAlarms += counts.falseAlarms;
    for (const delay of counts.delaysMs) pooled.delaysMs.push(delay);
  }
  return pooled;
}

export interface EventMetrics {
  /** Share of detections that overlap a labelled interval. */
  readonly precision: number;
  /** Share of labelled intervals found. */
  readonly recall: number;
  readonly f1: number;
  /** Median over the intervals found; NaN where none was. */
  readonly delayMs: number;
  /** Detections that overlap nothing, per day of observation; NaN where nothing was observed. */
  readonly falseAlarmsPerDay: number;
}

/**
 * Each event counts once, however long it is; a rate of nothing is 0.
 *
 * @param observedMs how long was looked at, labelled time included
 */
export function eventMetrics(counts: EventCounts, observedMs: number): EventMetrics {
  const precision = counts.detected === 0 ? 0 : (counts.detected - counts.falseAlarms) / counts.detected;
  const recall = counts.labelled === 0 ? 0 : counts.found / counts.labelled;
  const f1 = precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);
  return {
    precision,
    recall,
    f1,
    delayMs: median(counts.delaysMs),
    falseAlarmsPerDay: observedMs > 0 ? counts.falseAlarms / (observedMs / DAY_MS) : Number.NaN,
  };
}

const DAY_MS = 86_400_000;

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

interface ByStart {
  readonly intervals: readonly Interval[];
  /** Latest end of the intervals up to each. */
  readonly latestEnds: Float64Array;
}

function byStart(intervals: readonly Interval[]): ByStart {
  const sorted = intervals.toSorted((a, b) => a.startMs - b.startMs);
  const latestEnds = new Float64Array(sorted.length);
  let latest = Number.NEGATIVE_INFINITY;
  for (const [i, { endMs }] of sorted.entries()) latestEnds[i] = latest = Math.max(latest, endMs);
  return { intervals: sorted, latestEnds };
}

/** Of the intervals that overlap this one, the one that starts first. The first to end late enough is it, or none is. */
function firstOverlap({ intervals, latestEnds }: ByStart, { startMs, endMs }: Interval): Interval | undefined {
  let low = 0;
  let high = intervals.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (latestEnds[middle]! >= startMs) high = middle;
    else low = middle + 1;
  }
  const candidate = intervals[low];
  return candidate !== undefined && candidate.startMs <= endMs ? candidate : undefined;
}
