/**
 * The score of the Numenta Anomaly Benchmark: early detections in a labelled window earn up to 1, each false alarm costs up
 * to 0.11 (less right after a window), each missed window costs 1. 0 is what a detector gets that never says anything, 100
 * what one gets that finds every window at its start and nothing else.
 *
 * Source: A. Lavin & S. Ahmad, "Evaluating Real-time Anomaly Detection Algorithms – the Numenta Anomaly Benchmark", ICMLA
 * 2015.
 */

/** A labelled series, without its values. */
export interface NabSeries {
  readonly rows: number;
  /** First and last row of each labelled window, ascending, not overlapping. */
  readonly windows: readonly (readonly [first: number, last: number])[];
  /** Rows at the start that may be trained on: what is detected there counts for nothing. */
  readonly probation: number;
}

/** What detections are worth, and what missing a window costs. */
export interface NabProfile {
  readonly truePositive: number;
  readonly falsePositive: number;
  readonly falseNegative: number;
}

export const NAB_STANDARD_PROFILE: NabProfile = { truePositive: 1, falsePositive: 0.11, falseNegative: 1 };

export interface NabResult {
  /** 0: as good as silence; 100: perfect; negative where false alarms cost more than was found. */
  readonly score: number;
  readonly windows: number;
  readonly found: number;
  /** Rows with a detection outside all windows. */
  readonly falsePositives: number;
}

/** The first 15 % of a series, at most 750 rows. */
export function nabProbation(rows: number): number {
  return Math.min(Math.floor(0.15 * rows), 750);
}

/**
 * Rows of labelled spans of time. Spans without a row are left out.
 *
 * @param timesMs `[rows]`; steps backwards are allowed, a span's rows are all between its first and its last
 */
export function nabWindowsOf(
  timesMs: ArrayLike<number>,
  spans: readonly { readonly startMs: number; readonly endMs: number }[],
): [number, number][] {
  return spans
    .map(({ startMs, endMs }): [number, number] => {
      let first = -1;
      let last = -1;
      for (let row = 0; row < timesMs.length; row += 1) {
        if (timesMs[row]! < startMs || timesMs[row]! > endMs) continue;
        if (first < 0) first = row;
        last = row;
      }
      return [first, last];
    })
    .filter(([first]) => first >= 0)
    .toSorted((a, b) => a[0] - b[0]);
}

/**
 * The score of decisions over a corpus.
 *
 * @param detections one per series, `[rows]`, anything but 0 is a detection; every such row outside the windows counts
 */
export function nabScore(
  corpus: readonly NabSeries[],
  detections: readonly ArrayLike<number>[],
  profile: NabProfile = NAB_STANDARD_PROFILE,
): NabResult {
  let raw = 0;
  let windows = 0;
  let found = 0;
  let falsePositives = 0;
  for (const [index, series] of corpus.entries()) {
    const { windowOf, worth } = worthOf(series, profile);
    const best = new Float64Array(series.windows.length).fill(-profile.falseNegative);
    for (let row = series.probation; row < series.rows; row += 1) {
      if (!detections[index]![row]) continue;
      const window = windowOf[row]!;
      if (window < 0) {
        raw += worth[row]!;
        falsePositives += 1;
      } else if (worth[row]! > best[window]!) best[window] = worth[row]!;
    }
    raw += best.reduce((sum, value) => sum + value, 0);
    windows += best.length;
    found += best.filter((value) => value > -profile.falseNegative).length;
  }
  return { score: normalised(raw, windows, profile), windows, found, falsePositives };
}

/**
 * The largest score that one threshold for the whole corpus gives, every row at or over it being a detection. The benchmark
 * chooses it with the labels in hand: it says how well scores rank, not how well a detector decides.
 *
 * @param scores one per series, `[rows]`
 * @returns threshold Infinity where silence is best
 */
export function nabBestThreshold(
  corpus: readonly NabSeries[],
  scores: readonly ArrayLike<number>[],
  profile: NabProfile = NAB_STANDARD_PROFILE,
): { readonly score: number; readonly threshold: number } {
  // What lowering the threshold past a row's score adds.
  const steps: { score: number; gain: number }[] = [];
  let windows = 0;
  for (const [index, series] of corpus.entries()) {
    const { windowOf, worth } = worthOf(series, profile);
    windows += series.windows.length;
    const inside: number[][] = series.windows.map(() => []);
    for (let row = series.probation; row < series.rows; row += 1) {
      if (windowOf[row]! >= 0) inside[windowOf[row]!]!.push(row);
      else steps.push({ score: scores[index]![row]!, gain: worth[row]! });
    }
    for (const rows of inside) {
      let best = -profile.falseNegative;
      for (const row of rows.toSorted((a, b) => scores[index]![b]! - scores[index]![a]!)) {
        if (worth[row]! <= best) continue;
        steps.push({ score: scores[index]![row]!, gain: worth[row]! - best });
        best = worth[row]!;
      }
    }
  }
  steps.sort((a, b) => b.score - a.score);
  let raw = -profile.falseNegative * windows;
  let best = { raw, threshold: Number.POSITIVE_INFINITY };
  for (const [i, { score, gain }] of steps.entries()) {
    raw += gain;
    if (steps[i + 1]?.score !== score && raw > best.raw) best = { raw, threshold: score };
  }
  return { score: normalised(best.raw, windows, profile), threshold: best.threshold };
}

/** Detections that begin outside all windows and after the probation: what a person would be called for in vain. */
export function nabFalseAlarms(series: NabSeries, detections: ArrayLike<number>): number {
  const { windowOf } = worthOf(series, NAB_STANDARD_PROFILE);
  let alarms = 0;
  for (let row = series.probation; row < series.rows; row += 1) {
    const on = Boolean(detections[row]);
    const before = row > series.probation && Boolean(detections[row - 1]);
    if (on && !before && windowOf[row]! < 0) alarms += 1;
  }
  return alarms;
}

/** Per row: the window it is in, or −1, and what a detection there is worth. */
function worthOf(
  { rows, windows }: NabSeries,
  { truePositive, falsePositive }: NabProfile,
): { windowOf: Int32Array; worth: Float64Array } {
  const windowOf = new Int32Array(rows).fill(-1);
  const worth = new Float64Array(rows).fill(-falsePositive);
  for (const [index, [first, last]] of windows.entries()) {
    const width = last - first + 1;
    for (let row = first; row <= last; row += 1) {
      windowOf[row] = index;
      worth[row] = (truePositive * position(-(last - row + 1) / width)) / position(-1);
    }
    const next = windows[index + 1]?.[0] ?? rows;
    for (let row = last + 1; row < next; row += 1) {
      worth[row] = falsePositive * position((row - last) / Math.max(1, width - 1));
    }
  }
  return { windowOf, worth };
}

/** From almost 1 at −1 (a window's start) over 0 at 0 (its end) to −1. */
function position(relative: number): number {
  return relative > 3 ? -1 : 2 / (1 + Math.exp(5 * relative)) - 1;
}

function normalised(raw: number, windows: number, { truePositive, falseNegative }: NabProfile): number {
  const silence = -falseNegative * windows;
  const perfect = truePositive * windows;
  return perfect === silence ? Number.NaN : (100 * (raw - silence)) / (perfect - silence);
}
