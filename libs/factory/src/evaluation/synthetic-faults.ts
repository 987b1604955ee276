import type { WindowSet } from '../window-set.ts';

/** What real sensors and machines do: a step, a slow ramp, one wild sample, a stuck value, more noise. */
export const FAULT_KINDS = ['offset', 'ramp', 'spike', 'stuck', 'noise'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface FaultOptions {
  /** Size in standard deviations of the channel, drawn uniformly between these. */
  readonly smallest: number;
  readonly largest: number;
}

const DEFAULTS: FaultOptions = { smallest: 2, largest: 10 };

/**
 * Copies of the windows, each with one kind of fault (in turn) on a random half of its channels, at least one. For ranges
 * that must hold what was never measured, and for expectations of how a model answers to it; not for choosing a model.
 */
export function injectFaults(set: WindowSet, random: () => number, options: Partial<FaultOptions> = {}): WindowSet {
  const { smallest, largest } = { ...DEFAULTS, ...options };
  const { window, channels, count } = set;
  const deviations = deviationsOf(set);
  const data = Float32Array.from(set.data);
  for (let n = 0; n < count; n += 1) {
    const kind = FAULT_KINDS[n % FAULT_KINDS.length]!;
    const certain = Math.floor(random() * channels);
    for (let c = 0; c < channels; c += 1) {
      if (c !== certain && random() < 0.5) continue;
      const size = (smallest + random() * (largest - smallest)) * deviations[c]! * (random() < 0.5 ? -1 : 1);
      const column = { data, start: n * window * channels + c, step: channels, length: window };
      applyFault(column, kind, size, random);
    }
  }
  return { ...set, data };
}

/** One channel of one window, in place. */
interface Column {
  readonly data: Float32Array;
  readonly start: number;
  readonly step: number;
  readonly length: number;
}

function applyFault({ data, start, step, length }: Column, kind: FaultKind, size: number, random: () => number): void {
  const onset = Math.floor(random() * length);
  const held = data[start + onset * step]!;
  for (let t = 0; t < length; t += 1) {
    const at = start + t * step;
    switch (kind) {
      case 'offset':
        if (t >= onset) data[at]! += size;
        break;
      case 'ramp':
        data[at]! += (size * (t + 1)) / length;
        break;
      case 'spike':
        if (t === onset) data[at]! += size;
        break;
      case 'stuck':
        data[at] = held + size;
        break;
      case 'noise':
        data[at]! += size * (random() + random() + random() - 1.5);
        break;
    }
  }
}

/** Standard deviation per channel over all windows. */
function deviationsOf({ data, channels }: WindowSet): Float64Array {
  const rows = data.length / channels;
  const means = new Float64Array(channels);
  for (const [i, value] of data.entries()) means[i % channels]! += value / rows;
  const squares = new Float64Array(channels);
  for (const [i, value] of data.entries()) squares[i % channels]! += (value - means[i % channels]!) ** 2 / rows;
  return squares.map(Math.sqrt);
}
