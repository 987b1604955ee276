/** Steps are told apart to about 1 %: bins on a logarithmic scale from a nanosecond to 30 years. */
const BIN_WIDTH = 0.01;
const SMALLEST_MS = 1e-6;
const LARGEST_MS = 1e12;
const BINS = Math.ceil(Math.log(LARGEST_MS / SMALLEST_MS) / BIN_WIDTH) + 1;

/** A step this many times longer than the median is a gap. */
const GAP_FACTOR = 10;
/** A step that differs from the median by this share is irregular. */
const IRREGULAR = 0.1;

export interface StepSummary {
  /** Of the steps forward; null without any. Exact for regular times, otherwise to about 1 %. */
  readonly medianMs: number | null;
  readonly gaps: { readonly count: number; readonly longestMs: number };
  readonly irregularShare: number;
}

/**
 * The steps between times that follow each other, in bounded memory: a histogram with logarithmic bins (about 30 KB each
 * for counts and sums), whatever the number of rows. Nothing is sampled: counts are exact but for steps within 1 % of a border.
 */
export class TimeSteps {
  readonly #counts = new Float64Array(BINS);
  readonly #sums = new Float64Array(BINS);
  #lastMs = Number.NaN;
  #forward = 0;
  #longestMs = 0;
  duplicates = 0;
  backward = 0;

  add(timeMs: number): void {
    const stepMs = timeMs - this.#lastMs;
    this.#lastMs = timeMs;
    if (stepMs > 0) this.#addForward(stepMs);
    else if (stepMs === 0) this.duplicates += 1;
    else if (stepMs < 0) this.backward += 1;
  }

  summary(): StepSummary {
    const medianMs = this.#median();
    if (medianMs === null) return { medianMs, gaps: { count: 0, longestMs: 0 }, irregularShare: 0 };
    const steps = this.#forward + this.duplicates + this.backward;
    let regular = 0;
    let gaps = 0;
    for (let bin = 0; bin < BINS; bin += 1) {
      const count = this.#counts[bin]!;
      if (count === 0) continue;
      const stepMs = this.#sums[bin]! / count;
      if (Math.abs(stepMs - medianMs) <= IRREGULAR * medianMs) regular += count;
      if (stepMs > GAP_FACTOR * medianMs) gaps += count;
    }
    return {
      medianMs,
      gaps: { count: gaps, longestMs: gaps === 0 ? 0 : this.#longestMs },
      irregularShare: 1 - regular / steps,
    };
  }

  #addForward(stepMs: number): void {
    const bounded = Math.min(LARGEST_MS, Math.max(SMALLEST_MS, stepMs));
    const bin = Math.floor(Math.log(bounded / SMALLEST_MS) / BIN_WIDTH);
    this.#counts[bin]! += 1;
    this.#sums[bin]! += stepMs;
    this.#forward += 1;
    if (stepMs > this.#longestMs) this.#longestMs = stepMs;
  }

  #median(): number | null {
    let seen = 0;
    for (let bin = 0; bin < BINS; bin += 1) {
      const count = this.#counts[bin]!;
      seen += count;
      // A bin's mean rather than its border: steps of one size give that size.
      if (count > 0 && seen * 2 >= this.#forward) return this.#sums[bin]! / count;
    }
    return null;
  }
}
