/** One row of measurements: NaN is a missing value. */
export interface Row {
  /** Milliseconds since the Unix epoch. */
  readonly timeMs: number;
  readonly values: Float32Array;
}

/**
 * Summarises samples to one row per interval of sample time: per channel the mean of the values that are there, at the
 * time of the interval's last sample. An interval of 0 passes each sample on as it is.
 *
 * Intervals are aligned to the epoch, so that streams of several devices line up.
 */
export class RowAggregator {
  #intervalMs: number;
  #interval = Number.NaN;
  #lastMs = 0;
  #sums: Float64Array = new Float64Array();
  #counts: Uint32Array = new Uint32Array();

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** @returns a finished row, if this sample finished one */
  add(sample: Row): Row | undefined {
    if (this.#intervalMs === 0) return sample;
    const interval = Math.floor(sample.timeMs / this.#intervalMs);
    const finished = interval === this.#interval ? undefined : this.take();
    if (this.#sums.length !== sample.values.length) {
      this.#sums = new Float64Array(sample.values.length);
      this.#counts = new Uint32Array(sample.values.length);
    }
    this.#interval = interval;
    this.#lastMs = sample.timeMs;
    for (let c = 0; c < sample.values.length; c += 1) {
      const value = sample.values[c]!;
      if (Number.isNaN(value)) continue;
      this.#sums[c]! += value;
      this.#counts[c]! += 1;
    }
    return finished;
  }

  /** The row so far, which begins a new one; undefined where there was no sample. */
  take(): Row | undefined {
    if (Number.isNaN(this.#interval)) return undefined;
    const values = Float32Array.from(this.#sums, (sum, c) => sum / this.#counts[c]!);
    this.#sums.fill(0);
    this.#counts.fill(0);
    this.#interval = Number.NaN;
    return { timeMs: this.#lastMs, values };
  }

  /** @returns the row that the old interval had begun */
  setInterval(intervalMs: number): Row | undefined {
    if (intervalMs === this.#intervalMs) return undefined;
    const rest = this.take();
    this.#intervalMs = intervalMs;
    return rest;
  }
}
