export interface QuantileSummary {
  /** Values seen in all, not only those still kept. */
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Largest of those kept. */
  readonly max: number;
}

/** Quantiles over the newest values: a fixed ring, nothing allocated by `add`. */
export class QuantileRing {
  readonly #ring: Float64Array;
  #count = 0;

  /** @param capacity values kept */
  constructor(capacity = 1_024) {
    this.#ring = new Float64Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  add(value: number): void {
    this.#ring[this.#count % this.#ring.length] = value;
    this.#count += 1;
  }

  clear(): void {
    this.#count = 0;
  }

  /** Null before the first value. Quantiles by nearest rank. */
  summary(): QuantileSummary | null {
    const kept = Math.min(this.#count, this.#ring.length);
    if (kept === 0) return null;
    const sorted = this.#ring.subarray(0, kept).toSorted();
    return {
      count: this.#count,
      p50: quantileOf(sorted, 0.5),
      p95: quantileOf(sorted, 0.95),
      p99: quantileOf(sorted, 0.99),
      max: sorted[kept - 1]!,
    };
  }
}

/** Nearest-rank quantile of values in ascending order. @param q 0 to 1 */
export function quantileOf(sorted: ArrayLike<number>, q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))]!;
}
