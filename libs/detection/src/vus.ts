/** One recording's scores and labels, row by row. */
export interface ScoredSeries {
  /** Higher is more anomalous. NaN: the row does not count (no window reached it). */
  readonly scores: ArrayLike<number>;
  /** As long as `scores`; anything but 0 is anomalous. */
  readonly labels: ArrayLike<number>;
}

export interface VusOptions {
  /**
   * Longest buffer, rows; half of it lies on each side of a labelled interval. By default the median length of the labelled
   * intervals, from 10 to 100.
   */
  readonly maxBuffer?: number;
  /** Buffer lengths are all whole numbers from 0 to `maxBuffer`, or this many of them, evenly spread. Default 64. */
  readonly mostBuffers?: number;
}

/**
 * Area under the curve of precision over recall, as average precision: Σ (Rₖ − Rₖ₋₁) Pₖ over every distinct score as
 * threshold. No interpolation, which would be too kind (J. Davis & M. Goadrich, "The relationship between
 * precision-recall and ROC curves", ICML 2006). Several series count as one. O(n log n).
 *
 * @returns 0 to 1; NaN where nothing is labelled
 */
export function aucPr(series: readonly ScoredSeries[]): number {
  const { predicted, positives } = rankedRows(series, 0);
  if (positives === 0) return Number.NaN;
  let area = 0;
  for (let i = 0; i < predicted.length;) {
    const before = i;
    const threshold = predicted[i]!;
    while (predicted[i] === threshold) i += 1;
    area += ((i - before) / positives) * (i / threshold);
  }
  return area;
}

/**
 * Volume under the surface of precision and recall: the range-aware area under the precision-recall curve, averaged over
 * buffer lengths, so that an alarm shortly before or after a labelled interval is worth something and no single tolerance
 * has to be chosen. Source: J. Paparrizos, P. Boniol, T. Palpanas, R. Tsay, A. Elmore & M. Franklin, "Volume under the
 * surface: a new accuracy evaluation measure for time-series anomaly detection", PVLDB 15 (11), 2022.
 *
 * For a buffer of ℓ rows, a row d ≤ ℓ/2 rows outside of an interval weighs √(1 − d/ℓ), one inside weighs 1, one between two
 * intervals the sum of both, at most 1. With the weights of rows at or over the threshold as true positives: precision = TP
 * / predicted rows; recall = min(1, TP / P) × existence, where P is the mean of labelled rows and summed weights, and
 * existence the share of intervals (with their buffers; those that touch are one) with any predicted row.
 *
 * Thresholds: every distinct score, not a grid, so the result is exact and does not change with the scale of scores.
 * The area is the sum of steps, as in `aucPr` and in the authors' program. Buffers never reach into another series. Only
 * rows within reach of an interval are visited per buffer length: O(n log n + buffers × rows in reach).
 *
 * @returns 0 to 1; NaN where nothing is labelled
 */
export function vusPr(series: readonly ScoredSeries[], options: VusOptions = {}): number {
  const { maxBuffer = defaultMaxBuffer(series), mostBuffers = 64 } = options;
  const ranked = rankedRows(series, Math.floor(maxBuffer / 2));
  if (ranked.positives === 0) return Number.NaN;
  const buffers = bufferLengths(maxBuffer, mostBuffers);
  return buffers.reduce((sum, buffer) => sum + rangeAucPr(ranked, buffer), 0) / buffers.length;
}

/** Median length of the labelled intervals, rows, from 10 to 100. */
export function defaultMaxBuffer(series: readonly ScoredSeries[]): number {
  const lengths = series
    .flatMap(({ labels }) => rangesOf(labels).map(({ start, end }) => end - start + 1))
    .toSorted((a, b) => a - b);
  return Math.min(100, Math.max(10, lengths[Math.floor(lengths.length / 2)] ?? 0));
}

function bufferLengths(longest: number, most: number): number[] {
  const count = Math.min(Math.floor(longest) + 1, Math.max(1, most));
  return Array.from({ length: count }, (_, i) => (count === 1 ? 0 : Math.round((i * longest) / (count - 1))));
}

/** A run of labelled rows, both ends inclusive. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** The rows in reach of a labelled interval, by score, highest first; one entry per row in each array. */
interface RankedRows {
  /** Rows of all series that are predicted when this one just is. */
  readonly predicted: Int32Array;
  /** Rows since the end of the interval before; 0 within one, `reach` + 1 out of reach. */
  readonly after: Int32Array;
  /** Rows to the start of the interval after; `reach` + 1 within one or out of reach. */
  readonly before: Int32Array;
  /** Index of the interval before, or within; the one after has the next index. */
  readonly left: Int32Array;
  /** Rows on each side that the longest buffer reaches. */
  readonly reach: number;
  /** Labelled rows that count. */
  readonly positives: number;
  /** Rows between an interval and the one before it in the same series; Infinity for the first of a series. */
  readonly distances: readonly number[];
}

function rangesOf(labels: ArrayLike<number>): Range[] {
  const ranges: Range[] = [];
  for (let i = 0; i < labels.length; i += 1) {
    if (labels[i] === 0) continue;
    const start = i;
    while (i + 1 < labels.length && labels[i + 1] !== 0) i += 1;
    ranges.push({ start, end: i });
  }
  return ranges;
}

/** Sorts once; what does not depend on the buffer length is done here. */
function rankedRows(series: readonly ScoredSeries[], reach: number): RankedRows {
  const total = series.reduce((sum, { scores }) => sum + scores.length, 0);
  const after = new Int32Array(total);
  const before = new Int32Array(total);
  const left = new Int32Array(total);
  const near = new Float64Array(total);
  const distances: number[] = [];
  let count = 0;
  let positives = 0;
  for (const { scores, labels } of series) {
    // An interval that no window reached can be found by nobody.
    const ranges = rangesOf(labels).filter(({ start, end }) => hasScore(scores, start, end));
    const first = distances.length;
    for (const [r, { start, end }] of ranges.entries()) {
      const last = ranges[r - 1]?.end ?? -Infinity;
      const next = ranges[r + 1]?.start ?? Infinity;
      distances.push(start - last);
      // What lies between two intervals and in reach of the one before was visited with that one.
      const from = Math.max(0, start - reach, last + reach + 1);
      const to = Math.min(scores.length - 1, end + reach, next - 1);
      for (let i = Math.min(from, start); i <= to; i += 1) {
        const score = scores[i]!;
        if (Number.isNaN(score)) continue;
        const within = i >= start && i <= end;
        if (within) positives += 1;
        near[count] = score;
        after[count] = within ? 0 : i > end ? i - end : reach + 1;
        before[count] = within ? reach + 1 : Math.min(reach + 1, i < start ? start - i : next - i);
        left[count] = first + (i < start ? r - 1 : r);
        count += 1;
      }
    }
  }
  const order = Uint32Array.from({ length: count }, (_, i) => i).toSorted((a, b) => near[b]! - near[a]!);
  return {
    predicted: countPredicted(
      Float64Array.from(order, (i) => near[i]!),
      series,
    ),
    after: Int32Array.from(order, (i) => after[i]!),
    before: Int32Array.from(order, (i) => before[i]!),
    left: Int32Array.from(order, (i) => left[i]!),
    reach,
    positives,
    distances,
  };
}

function hasScore(scores: ArrayLike<number>, start: number, end: number): boolean {
  for (let i = start; i <= end; i += 1) if (!Number.isNaN(scores[i]!)) return true;
  return false;
}

/** For each of these scores, in falling order, how many rows of all series have it or a higher one. */
function countPredicted(falling: Float64Array, series: readonly ScoredSeries[]): Int32Array {
  const all = new Float64Array(series.reduce((sum, { scores }) => sum + scores.length, 0));
  let counted = 0;
  for (const { scores } of series) {
    for (let i = 0; i < scores.length; i += 1) {
      if (Number.isNaN(scores[i]!)) continue;
      all[counted] = scores[i]!;
      counted += 1;
    }
  }
  const sorted = all.subarray(0, counted).toSorted();
  let lower = counted;
  return Int32Array.from(falling, (score) => {
    while (lower > 0 && sorted[lower - 1]! >= score) lower -= 1;
    return counted - lower;
  });
}

/** The area for one buffer length. */
function rangeAucPr(rows: RankedRows, buffer: number): number {
  const { predicted, after, before, left, positives } = rows;
  const count = predicted.length;
  const half = Math.floor(buffer / 2);
  const byDistance = new Float64Array(rows.reach + 2);
  for (let d = 0; d <= half; d += 1) byDistance[d] = d === 0 ? 1 : Math.sqrt(1 - d / buffer);
  const { groupOf, groups } = mergedGroups(rows.distances, half);

  let weightSum = 0;
  for (let i = 0; i < count; i += 1) weightSum += Math.min(1, byDistance[after[i]!]! + byDistance[before[i]!]!);
  const whole = (positives + weightSum) / 2;
  const seen = new Uint8Array(groups);
  let existing = 0;
  let truePositives = 0;
  let recall = 0;
  let area = 0;
  for (let i = 0; i < count;) {
    const threshold = predicted[i]!;
    for (; predicted[i] === threshold; i += 1) {
      const weight = Math.min(1, byDistance[after[i]!]! + byDistance[before[i]!]!);
      if (weight === 0) continue;
      truePositives += weight;
      const group = groupOf[after[i]! <= half ? left[i]! : left[i]! + 1]!;
      if (seen[group] === 0) existing += 1;
      seen[group] = 1;
    }
    const next = Math.min(1, truePositives / whole) * (existing / groups);
    area += (next - recall) * (truePositives / threshold);
    recall = next;
  }
  return area;
}

/** Intervals whose buffers touch are one group. */
function mergedGroups(distances: readonly number[], half: number): { groupOf: Int32Array; groups: number } {
  const groupOf = new Int32Array(distances.length);
  let group = 0;
  for (const [r, distance] of distances.entries()) {
    if (r > 0 && distance > 2 * half) group += 1;
    groupOf[r] = group;
  }
  return { groupOf, groups: group + 1 };
}
