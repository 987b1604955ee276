/** Latencies in buckets that grow by 2^(1/16), about 4 %: percentiles of millions of values in no memory. */
const PER_OCTAVE = 16;

export class LatencyHistogram {
  readonly #counts = new Float64Array(40 * PER_OCTAVE);
  #total = 0;

  add(milliseconds: number): void {
    const bucket = Math.round(Math.log2(Math.max(milliseconds * 1_000, 1)) * PER_OCTAVE);
    this.#counts[Math.min(bucket, this.#counts.length - 1)]! += 1;
    this.#total += 1;
  }

  /** @param share 0 to 1 @returns milliseconds; NaN where there is nothing */
  quantile(share: number): number {
    let left = this.#total * share;
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      left -= this.#counts[bucket]!;
      if (left <= 0 && this.#total > 0) return 2 ** (bucket / PER_OCTAVE) / 1_000;
    }
    return Number.NaN;
  }
}
