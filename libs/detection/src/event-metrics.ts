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

/** Matches detections with labelled intervals by overlap. Neither list has to be sorted. */
export function countEvents(
  labelled: readonly Interval[],
  detected: readonly Interval[],
  matching: EventMatching = {},
): EventCounts {
  const lagMs = matching.lagMs ?? 0;
  const overlap = (label: Interval, detection: Interval): boolean =>
    detection.startMs <= label.endMs + lagMs && detection.endMs >= label.startMs;
  const delaysMs: number[] = [];
  for (const label of labelled) {
    let first = Number.POSITIVE_INFINITY;
    for (const detection of detected) {
      if (overlap(label, detection)) first = Math.min(first, detection.startMs);
    }
    if (first !== Number.POSITIVE_INFINITY) delaysMs.push(Math.max(0, first - label.startMs));
  }
  const falseAlarms = detected.filter((detection) => !labelled.some((label) => overlap(label, detection))).length;
  return { labelled: labelled.length, found: delaysMs.length, detected: detected.length, falseAlarms, delaysMs };
}
