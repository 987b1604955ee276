/**
 * What the shape detector is made of, in plain numbers. A sample is `[C]` normalised values; series are stored channel by
 * channel, `[C, length]`, because that is how the graph keeps them.
 */
export interface ShapeModel {
  readonly channels: number;
  /** Newest samples that are compared with the past. */
  readonly span: number;
  /** Newest samples that are kept in memory. */
  readonly memory: number;
  /** Samples that every window brings. */
  readonly step: number;
  /** `[C]` */
  readonly center: Float64Array;
  readonly deviation: Float64Array;
  /** Deviations at which a value is cut off. */
  readonly limit: number;
  /** `[C, T]`, normalised samples of training. */
  readonly training: Float32Array;
  /** Where a training window may start: those in between reach over an interruption. */
  readonly trainingStarts: readonly number[];
  /** The distance that becomes a score of 1. */
  readonly unit: number;
}

/** How much of a normalised series is `sample` row `row`; NaN cannot be. */
export function normaliseRows(
  data: Float32Array,
  { channels, center, deviation, limit }: Pick<ShapeModel, 'channels' | 'center' | 'deviation' | 'limit'>,
): Float32Array {
  const rows = data.length / channels;
  const series = new Float32Array(data.length);
  for (let row = 0; row < rows; row += 1) {
    for (let c = 0; c < channels; c += 1) {
      const z = (data[row * channels + c]! - center[c]!) / deviation[c]!;
      series[c * rows + row] = Math.min(limit, Math.max(-limit, z));
    }
  }
  return series;
}

/**
 * Mean squared difference of two windows of a series, over the channels.
 *
 * @param series `[C, length]`
 */
export function windowDistance(
  { channels, span }: Pick<ShapeModel, 'channels' | 'span'>,
  series: Float32Array,
  a: number,
  b: number,
): number {
  const length = series.length / channels;
  let sum = 0;
  for (let c = 0; c < channels; c += 1) {
    const at = c * length;
    for (let i = 0; i < span; i += 1) sum += (series[at + a + i]! - series[at + b + i]!) ** 2;
  }
  return sum / (channels * span);
}

/**
 * How far every training window is from the nearest of the others that share no sample with it.
 *
 * @returns `[trainingStarts]`, root mean square; windows without any other are left out
 */
export function leaveOneOutDistances(model: Omit<ShapeModel, 'unit'>): Float64Array {
  const { trainingStarts: starts, span, training } = model;
  const nearest = new Float64Array(starts.length).fill(Infinity);
  for (let a = 0; a < starts.length; a += 1) {
    for (let b = a + 1; b < starts.length; b += 1) {
      if (starts[b]! - starts[a]! < span) continue;
      const distance = windowDistance(model, training, starts[a]!, starts[b]!);
      if (distance < nearest[a]!) nearest[a] = distance;
      if (distance < nearest[b]!) nearest[b] = distance;
    }
  }
  return nearest.filter((distance) => distance < Infinity).map(Math.sqrt);
}
