/** What a window is made of; structurally a part of the manifest's signature. */
export interface WindowSpec {
  /** C: values per sample. */
  readonly channelCount: number;
  /** W: samples per window. */
  readonly window: number;
  /** Samples from one window's start to the next. */
  readonly stride: number;
  /** Windows after a start or reset that are marked `warming`. */
  readonly warmup: number;
  /** A longer step in time (either direction) between two samples starts anew. */
  readonly maxGapMs: number;
  /**
   * What happens when a channel has had no value for longer than `maxGapMs`. `restart`: no window until W whole samples
   * came again (for graphs without a mask). `mask`: windows go on, the graph is told by the mask.
   */
  readonly stale: 'restart' | 'mask';
}

/** What a sample led to: no window, one that only warms the model up, or one to act on. */
export type WindowStep = 'none' | 'warming' | 'ready';

const FEWEST_SPARE_ROWS = 32;

/**
 * Turns a stream of samples into windows of W samples × C channels.
 *
 * INVARIANTS
 * - Rows lie one after another in `#rows`, oldest first, the newest ends at `#end`; the last `#filled` (≤ W) of them are
 *   valid. When the buffer is full, the last W−1 rows move to its front: O(C) per sample on average, and a window is always
 *   one contiguous run.
 * - No value in `#rows` is NaN or infinite: a missing value holds the channel's last one and its mask is 0.
 * - `push` allocates nothing.
 */
export class WindowBuilder {
  readonly spec: WindowSpec;
  readonly #capacity: number;
  readonly #rows: Float32Array;
  readonly #mask: Uint8Array;
  readonly #times: Float64Array;
  readonly #held: Float32Array;
  /** When each channel last had a value; −Infinity: never. */
  readonly #heldAt: Float64Array;
  #end = 0;
  #filled = 0;
  #untilNext = 0;
  #windows = 0;
  #samples = 0;
  #lastTimeMs = Number.NaN;
  #restarted = false;
  #missingValues = 0;
  #restarts = 0;

  constructor(spec: WindowSpec) {
    this.spec = spec;
    this.#capacity = spec.window + Math.max(spec.window, FEWEST_SPARE_ROWS);
    this.#rows = new Float32Array(this.#capacity * spec.channelCount);
    this.#mask = new Uint8Array(this.#capacity * spec.channelCount);
    this.#times = new Float64Array(this.#capacity);
    this.#held = new Float32Array(spec.channelCount);
    this.#heldAt = new Float64Array(spec.channelCount).fill(Number.NEGATIVE_INFINITY);
  }

  /** True when the sample just pushed did not continue what was before: a gap, or a channel that was away too long. */
  get restarted(): boolean {
    return this.#restarted;
  }
  /** Time of the newest sample, milliseconds; NaN before the first. */
  get lastTimeMs(): number {
    return this.#lastTimeMs;
  }
  /** Values that were missing, and restarts by gaps or stale channels, since construction. */
  get counters(): { samples: number; missingValues: number; restarts: number } {
    return { samples: this.#samples, missingValues: this.#missingValues, restarts: this.#restarts };
  }

  /**
   * Takes one sample: C values from `values[offset]` on, in the signature's channel order. NaN, infinite and beyond
   * float32 count as missing.
   *
   * @param timeMs milliseconds; duplicates and small steps backwards are taken as the next sample
   */
  push(timeMs: number, values: ArrayLike<number>, offset = 0): WindowStep {
    this.#restarted = false;
    if (this.#samples > 0 && Math.abs(timeMs - this.#lastTimeMs) > this.spec.maxGapMs) {
      this.reset();
      this.#restarted = true;
      this.#restarts += 1;
    }
    this.#samples += 1;
    this.#lastTimeMs = timeMs;
    if (this.#end === this.#capacity) this.#moveToFront();
    const whole = this.#writeRow(timeMs, values, offset);
    if (!whole && this.spec.stale === 'restart') {
      if (this.#filled > 0 || this.#windows > 0) {
        this.#restarted = true;
        this.#restarts += 1;
      }
      this.#forgetRows();
      return 'none';
    }
    this.#end += 1;
    if (this.#filled < this.spec.window) this.#filled += 1;
    if (this.#filled < this.spec.window) return 'none';
    if (this.#untilNext > 0) {
      this.#untilNext -= 1;
      return 'none';
    }
    this.#untilNext = this.spec.stride - 1;
    this.#windows += 1;
    return this.#windows > this.spec.warmup ? 'ready' : 'warming';
  }

  /** Forgets all samples and held values, as after construction; counters stay. */
  reset(): void {
    this.#forgetRows();
    this.#heldAt.fill(Number.NEGATIVE_INFINITY);
    this.#lastTimeMs = Number.NaN;
  }

  /** Copies the window, `[W, C]` row by row, oldest first, to `target[offset]` on. Only after `push` gave a window. */
  copyWindow(target: Float32Array, offset = 0): void {
    const { window, channelCount } = this.spec;
    // One view is allocated, because without an optimising compiler (the agent has none) a loop takes 50 times as long.
    target.set(this.#rows.subarray((this.#end - window) * channelCount, this.#end * channelCount), offset);
  }

  /** Copies the mask, `[W, C]`: 1 where the value was measured, 0 where it was held or never seen. */
  copyMask(target: Float32Array, offset = 0): void {
    const { window, channelCount } = this.spec;
    target.set(this.#mask.subarray((this.#end - window) * channelCount, this.#end * channelCount), offset);
  }

  /** Copies the samples' times, `[W]`, as seconds since Monday 00:00 UTC: it says hour and weekday and fits a float32. */
  copyTimes(target: Float32Array, offset = 0): void {
    const start = this.#end - this.spec.window;
    for (let i = 0; i < this.spec.window; i += 1) target[offset + i] = secondsOfWeek(this.#times[start + i]!);
  }

  #writeRow(timeMs: number, values: ArrayLike<number>, offset: number): boolean {
    const { channelCount, maxGapMs } = this.spec;
    const at = this.#end * channelCount;
    let whole = true;
    for (let c = 0; c < channelCount; c += 1) {
      const value = Math.fround(values[offset + c] ?? Number.NaN);
      // Infinity − Infinity and NaN − NaN are both NaN: one comparison for "finite".
      const present = value - value === 0;
      if (present) {
        this.#held[c] = value;
        this.#heldAt[c] = timeMs;
      } else {
        this.#missingValues += 1;
        if (timeMs - this.#heldAt[c]! > maxGapMs) whole = false;
      }
      this.#rows[at + c] = this.#held[c]!;
      this.#mask[at + c] = present ? 1 : 0;
    }
    this.#times[this.#end] = timeMs;
    return whole;
  }

  #moveToFront(): void {
    const keep = Math.min(this.#filled, this.spec.window - 1);
    const c = this.spec.channelCount;
    this.#rows.copyWithin(0, (this.#end - keep) * c, this.#end * c);
    this.#mask.copyWithin(0, (this.#end - keep) * c, this.#end * c);
    this.#times.copyWithin(0, this.#end - keep, this.#end);
    this.#end = keep;
  }

  #forgetRows(): void {
    this.#end = 0;
    this.#filled = 0;
    this.#untilNext = 0;
    this.#windows = 0;
  }
}

const WEEK_MS = 7 * 86_400_000;
/** 5 January 1970 was a Monday. */
const FIRST_MONDAY_MS = 4 * 86_400_000;

/** Seconds since Monday 00:00 UTC, in [0, 604800). */
export function secondsOfWeek(timeMs: number): number {
  const into = (timeMs - FIRST_MONDAY_MS) % WEEK_MS;
  return (into < 0 ? into + WEEK_MS : into) / 1_000;
}
