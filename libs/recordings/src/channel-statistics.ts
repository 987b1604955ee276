import type { ChannelReport } from './dataset-report.ts';

/** Count, range, mean and deviation of one channel, value by value (Welford 1962: no cancellation for large offsets). */
export class ChannelStatistics {
  readonly name: string;
  missing = 0;
  #count = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;
  #mean = 0;
  #squares = 0;

  constructor(name: string) {
    this.name = name;
  }

  get present(): number {
    return this.#count;
  }

  /** NaN, infinite and beyond float32 count as missing, as in detection. */
  add(value: number): void {
    if (!Number.isFinite(Math.fround(value))) {
      this.missing += 1;
      return;
    }
    this.#count += 1;
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
    const offset = value - this.#mean;
    this.#mean += offset / this.#count;
    this.#squares += offset * (value - this.#mean);
  }

  report(): ChannelReport {
    const { name, missing } = this;
    if (this.#count === 0) return { name, missing, constant: false, min: null, max: null, mean: null, deviation: null };
    return {
      name,
      missing,
      constant: this.#min === this.#max,
      min: this.#min,
      max: this.#max,
      mean: this.#mean,
      deviation: Math.sqrt(this.#squares / this.#count),
    };
  }
}
