import type { Resampling } from './signature.ts';

export interface ResamplerSpec {
  /** One per channel. */
  readonly resampling: readonly Resampling[];
  /** Samples per second that arrive. */
  readonly sourceRateHz: number;
  /** Samples per second that shall come out; lower. */
  readonly rateHz: number;
}

/** A source at least this much faster than the signature is resampled; what is nearer is its clock's tolerance. */
const CLEARLY_FASTER = 1.5;
/** Share of a source period by which a sample may come early. */
const JITTER = 0.25;

/** Whether samples at `sourceRateHz` have to be thinned out for a detector that wants `rateHz`. */
export function needsResampling(sourceRateHz: number, rateHz: number): boolean {
  return sourceRateHz >= rateHz * CLEARLY_FASTER;
}

/**
 * Makes one sample of all that fall in the same period of 1/rateHz (periods are aligned to the Unix epoch, so that a
 * restarted agent cuts them at the same places). A period's sample comes out with the last source sample that it can hold,
 * not with the first one of the next, so that nothing waits a period for its decision. Missing values are left out of the
 * summary; a channel with none in the period is NaN. Nothing is allocated after construction.
 */
export class Resampler {
  /** The sample of the period that `push` just completed. Reused. */
  readonly values: Float64Array;
  /** Source samples per resulting one. */
  readonly ratio: number;
  /** Time of that sample's last source sample, milliseconds. */
  timeMs = Number.NaN;
  readonly #resampling: readonly Resampling[];
  readonly #periodMs: number;
  readonly #sourcePeriodMs: number;
  readonly #accumulated: Float64Array;
  readonly #present: Uint32Array;
  #period = Number.NaN;
  #samples = 0;
  /** The current period's sample came out already. */
  #done = false;
  #latestMs = Number.NaN;

  constructor(spec: ResamplerSpec) {
    const channels = spec.resampling.length;
    this.#resampling = spec.resampling;
    this.#periodMs = 1_000 / spec.rateHz;
    this.#sourcePeriodMs = 1_000 / spec.sourceRateHz;
    this.ratio = spec.sourceRateHz / spec.rateHz;
    this.values = new Float64Array(channels);
    this.#accumulated = new Float64Array(channels);
    this.#present = new Uint32Array(channels);
  }

  /**
   * @param values C values from `offset` on
   * @returns true when a period is complete: its sample is in `values` and `timeMs`
   */
  push(timeMs: number, values: ArrayLike<number>, offset = 0): boolean {
    const period = Math.floor(timeMs / this.#periodMs);
    let complete = false;
    if (period !== this.#period) {
      // Samples were lost at the end of the period before: it comes out late, with what it has. What jitter put after
      // the end of a period that is out counts for the next one.
      if (this.#samples > 0 && !this.#done) {
        this.#finish();
        complete = true;
      }
      this.#period = period;
      this.#done = false;
    }
    this.#accumulate(timeMs, values, offset);
    // When a late period came out just now, this one waits for the next push.
    const last = timeMs + this.#sourcePeriodMs * (1 + JITTER) >= (period + 1) * this.#periodMs;
    if (last && !complete && !this.#done) {
      this.#finish();
      this.#done = true;
      complete = true;
    }
    return complete;
  }

  /** Forgets a period in progress. */
  reset(): void {
    this.#samples = 0;
    this.#present.fill(0);
    this.#period = Number.NaN;
    this.#done = false;
  }

  #accumulate(timeMs: number, values: ArrayLike<number>, offset: number): void {
    this.#samples += 1;
    this.#latestMs = timeMs;
    for (let c = 0; c < this.#resampling.length; c += 1) {
      const value = values[offset + c] ?? Number.NaN;
      if (value - value !== 0) continue;
      const first = this.#present[c] === 0;
      this.#present[c]! += 1;
      this.#accumulated[c] = first ? value : combine(this.#resampling[c]!, this.#accumulated[c]!, value);
    }
  }

  #finish(): void {
    for (let c = 0; c < this.#resampling.length; c += 1) {
      const present = this.#present[c]!;
      const divisor = this.#resampling[c] === 'mean' ? present : 1;
      this.values[c] = present === 0 ? Number.NaN : this.#accumulated[c]! / divisor;
    }
    this.timeMs = this.#latestMs;
    this.#samples = 0;
    this.#present.fill(0);
  }
}

function combine(resampling: Resampling, accumulated: number, value: number): number {
  switch (resampling) {
    case 'mean':
    case 'sum':
      return accumulated + value;
    case 'last':
      return value;
    case 'min':
      return Math.min(accumulated, value);
    case 'max':
      return Math.max(accumulated, value);
  }
}
