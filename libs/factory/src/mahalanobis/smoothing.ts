import { quantile, quantileOfSorted } from '../quantile.ts';
import type { TrainingRows } from './training-rows.ts';

/** How a row becomes free of units: (x − center) · inverse. */
export interface ChannelScale {
  readonly center: Float64Array;
  /** 0 for a channel that never changed, which then adds nothing. */
  readonly inverse: Float64Array;
}

// A deviation this small beside the center is what float32 makes of a constant.
const FLAT = 1e-6;
/**
 * Normal values span about six deviations. A channel whose span is far more, because it rests at one value nearly always,
 * is scaled by the span instead, so that its next rare value is no wonder.
 */
const SPAN = 1 / 8;
/** How far one sample can move a smoothed channel at most, in deviations of the unsmoothed channel. */
export const LARGEST_STEP = 20;

/** Deviations, by the middle 80 % of a channel, from which on a row is not trained on at first. */
const OUTLIER = 6;

/**
 * Which rows to begin with: those without a value far outside of the middle 80 % of its channel. Faults in the training data
 * would else make the first scales so large that they hide in them. What belongs to the bulk after all comes back later.
 */
export function firstNormal({ values, count, channels }: TrainingRows, maxContamination: number): boolean[] {
  const worst = new Float64Array(count);
  for (let c = 0; c < channels; c += 1) {
    const column = Float64Array.from({ length: count }, (_, n) => values[n * channels + c]!);
    const sorted = column.toSorted();
    const middle = quantileOfSorted(sorted, 0.5);
    const span = quantileOfSorted(sorted, 0.9) - quantileOfSorted(sorted, 0.1);
    // 2.56: from the first to the last decile of a normal distribution, in deviations.
    if (span > 0)
      column.forEach((value, n) => (worst[n] = Math.max(worst[n]!, (Math.abs(value - middle) * 2.56) / span)));
  }
  const limit = Math.max(OUTLIER, quantile(worst, 1 - maxContamination));
  return Array.from(worst, (deviations) => deviations <= limit);
}

/** Median and deviation per channel over the rows marked in `use`. */
export function fitScale({ values, count, channels }: TrainingRows, use: readonly boolean[]): ChannelScale {
  const center = new Float64Array(channels);
  const inverse = new Float64Array(channels);
  for (let c = 0; c < channels; c += 1) {
    const column: number[] = [];
    for (let n = 0; n < count; n += 1) if (use[n]) column.push(values[n * channels + c]!);
    const middle = quantile(column, 0.5);
    let square = 0;
    let low = Infinity;
    let high = -Infinity;
    for (const value of column) {
      square += (value - middle) ** 2;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    const deviation = Math.max(Math.sqrt(square / column.length), SPAN * (high - low));
    center[c] = middle;
    inverse[c] = deviation <= FLAT * Math.abs(middle) || deviation < 1e-30 ? 0 : 1 / deviation;
  }
  return { center, inverse };
}

/** Rows free of units, `[N, C]`. */
export function scaleRows({ values, channels }: TrainingRows, { center, inverse }: ChannelScale): Float64Array {
  return values.map((value, at) => (value - center[at % channels]!) * inverse[at % channels]!);
}

/**
 * Exponentially weighted means of scaled channels, one after another per rate: `[N, K × C]`, first all channels by the
 * first rate. The first row of a stretch is its own mean. One step moves a mean by no more than the rate × LARGEST_STEP, so
 * that a wild value is soon forgotten.
 *
 * Source: S. Roberts, "Control chart tests based on geometric moving averages", Technometrics 1, 1959.
 *
 * @param scaled `[N, C]`
 * @param starts `[N]`: 1 where a stretch begins
 * @param rates K weights of the newest row, in (0, 1]
 */
export function smoothRows(scaled: Float64Array, starts: Uint8Array, rates: readonly number[]): Float64Array {
  const count = starts.length;
  const channels = scaled.length / count;
  const features = rates.length * channels;
  const smooth = new Float64Array(count * features);
  for (let n = 0; n < count; n += 1) {
    for (const [k, rate] of rates.entries()) {
      for (let c = 0; c < channels; c += 1) {
        const at = n * features + k * channels + c;
        const before = starts[n] === 1 ? 0 : smooth[at - features]!;
        const step = Math.min(LARGEST_STEP, Math.max(-LARGEST_STEP, scaled[n * channels + c]! - before));
        smooth[at] = before + (starts[n] === 1 ? 1 : rate) * step;
      }
    }
  }
  return smooth;
}
