import type { WindowSet } from '../window-set.ts';
import { quantileOfSorted } from '../quantile.ts';

/** Where a channel lies in normal operation, and how far it moves there. */
export interface ChannelScale {
  /** `[C]`: median. */
  readonly center: Float64Array;
  /** `[C]`, always positive. */
  readonly deviation: Float64Array;
}

/** Of a channel that never moves: what part of its level counts as far. */
const CONSTANT_SHARE = 0.1;
const LEAST_DEVIATION = 1e-6;

/**
 * Median and standard deviation of every channel. The deviation is not trimmed: in a channel of rare spikes they are what
 * is normal, and what is trimmed away from it would be cut off. A channel that never moves gets a tenth of its level.
 */
export function channelScale({ data, count, window, channels }: WindowSet): ChannelScale {
  const rows = count * window;
  const center = new Float64Array(channels);
  const deviation = new Float64Array(channels);
  const column = new Float64Array(rows);
  for (let c = 0; c < channels; c += 1) {
    for (let row = 0; row < rows; row += 1) column[row] = data[row * channels + c]!;
    column.sort();
    const median = quantileOfSorted(column, 0.5);
    const mean = column.reduce((sum, value) => sum + value / rows, 0);
    const spread = Math.sqrt(column.reduce((sum, value) => sum + (value - mean) ** 2 / rows, 0));
    // What is left of a constant's spread is rounding.
    const moves = column[0] !== column[rows - 1];
    center[c] = median;
    deviation[c] = moves ? spread : Math.abs(median) * CONSTANT_SHARE;
    if (!(deviation[c]! > LEAST_DEVIATION * Math.abs(median))) deviation[c] = Math.abs(median) * CONSTANT_SHARE;
    if (deviation[c] === 0) deviation[c] = 1;
  }
  return { center, deviation };
}
