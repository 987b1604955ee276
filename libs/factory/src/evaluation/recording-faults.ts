import { quantileOfSorted } from '../quantile.ts';
import { evenly } from '../window-set.ts';
import type { Recording } from '../window-set.ts';

/**
 * What goes wrong with sensors and machines over a while: a level jumps, drifts away, is hit by spikes, freezes, gets noisy,
 * or goes its own way although every value of it is usual (`break`: a channel no longer moves with the others).
 */
export const RECORDING_FAULT_KINDS = ['step', 'ramp', 'spikes', 'stuck', 'noise', 'break'] as const;
export type RecordingFaultKind = (typeof RECORDING_FAULT_KINDS)[number];

export interface RecordingFaultOptions {
  readonly kinds: readonly RecordingFaultKind[];
  /** Size in deviations of the channel, drawn uniformly between these. */
  readonly smallest: number;
  readonly largest: number;
  /** Rows of the shortest and the longest fault, drawn so that short ones are more frequent. */
  readonly lengths: readonly [shortest: number, longest: number];
  /** Share of the rows that is faulty, about. */
  readonly share: number;
  /** Rows at the start that stay as they are. */
  readonly lead: number;
  /** What deviations are taken from; the recording itself by default. */
  readonly reference: Recording;
}

export interface RecordingFault {
  readonly kind: RecordingFaultKind;
  readonly channels: readonly number[];
  /** First row and row after the last. */
  readonly from: number;
  readonly to: number;
  /** In deviations; 0 where the kind has no size. */
  readonly size: number;
}

/** A copy with faults in it, and where they are. */
export type FaultyRecording = Recording & { readonly labels: Uint8Array; readonly faults: readonly RecordingFault[] };

const DEFAULTS: Omit<RecordingFaultOptions, 'reference'> = {
  kinds: RECORDING_FAULT_KINDS,
  smallest: 1,
  largest: 6,
  lengths: [16, 96],
  share: 0.2,
  lead: 32,
};

/**
 * A copy of a recording with faults put in as intervals, separated by stretches that stay normal, and labelled. Every kind
 * comes before one comes again. Faults fall on one to about half of the channels that vary; a channel's deviation is that
 * of its middle 90 %, so that a few outliers do not make the faults larger. Small ones (one deviation) are meant to be hard.
 *
 * A recording that is too short for its options gets shorter faults; one without a channel that varies gets none.
 *
 * @param random uniform in [0, 1)
 */
export function injectRecordingFaults(
  recording: Recording,
  random: () => number,
  options: Partial<RecordingFaultOptions> = {},
): FaultyRecording {
  const { channels, rows } = recording;
  const width = channels.length;
  const values = Float32Array.from(recording.values);
  const labels = new Uint8Array(rows);
  const deviations = deviationsOf(options.reference ?? recording);
  const moving = [...deviations.keys()].filter((c) => deviations[c]! > 0);
  const faults = moving.length === 0 ? [] : planFaults(rows, moving, random, { ...DEFAULTS, ...options });
  for (const fault of faults) {
    for (const channel of fault.channels) {
      applyFault({ values, width, rows, channel, deviation: deviations[channel]! }, fault, random);
    }
    labels.fill(1, fault.from, fault.to);
  }
  const { timesMs } = recording;
  return { channels, rows, values, labels, faults, ...(timesMs === undefined ? {} : { timesMs }) };
}

function planFaults(
  rows: number,
  moving: readonly number[],
  random: () => number,
  options: Omit<RecordingFaultOptions, 'reference'>,
): RecordingFault[] {
  const { smallest, largest, share } = options;
  // A third of a short recording at most is one fault.
  const longest = Math.max(1, Math.min(options.lengths[1], Math.floor(rows / 3)));
  const shortest = Math.max(1, Math.min(options.lengths[0], longest));
  // With one channel there is nothing to move with.
  const kinds = options.kinds.filter((kind) => kind !== 'break' || moving.length > 1);
  const faults: RecordingFault[] = [];
  let queue: RecordingFaultKind[] = [];
  let at = Math.min(options.lead, Math.floor(rows / 6));
  for (;;) {
    const length = Math.round(shortest * (longest / shortest) ** random());
    const pause = Math.max(1, Math.round((length * (1 - share) * (0.75 + 0.5 * random())) / share));
    const from = at + Math.floor(pause / 2);
    const to = from + length;
    if (to >= rows || kinds.length === 0) return faults;
    if (queue.length === 0) queue = shuffled(kinds, random);
    const kind = queue.pop()!;
    const size = (smallest + random() * (largest - smallest)) * (random() < 0.5 ? -1 : 1);
    const most = kind === 'break' ? Math.ceil((moving.length - 1) / 2) : Math.ceil(moving.length / 2);
    const channels = shuffled(moving, random).slice(0, 1 + Math.floor(random() * most));
    const sized = kind !== 'stuck' && kind !== 'break';
    faults.push({ kind, channels, from, to, size: sized ? size : 0 });
    at = to + Math.ceil(pause / 2);
  }
}

interface Channel {
  readonly values: Float32Array;
  readonly width: number;
  readonly rows: number;
  readonly channel: number;
  readonly deviation: number;
}

/** One channel, in place. Missing values stay missing. */
function applyFault(
  { values, width, rows, channel, deviation }: Channel,
  { kind, from, to, size }: RecordingFault,
  random: () => number,
): void {
  const length = to - from;
  const height = size * deviation;
  const period = 2 + Math.floor(random() * 6);
  // From anywhere but the fault's own rows, around the end. Taken before anything is written.
  const away = length + Math.floor(random() * Math.max(1, rows - 2 * length));
  const elsewhere = Float32Array.from({ length }, (_, i) => values[((from + i + away) % rows) * width + channel]!);
  let held = Number.NaN;
  for (let row = from; row < to; row += 1) {
    const at = row * width + channel;
    if (Number.isNaN(values[at]!)) continue;
    if (Number.isNaN(held)) held = values[at]!;
    switch (kind) {
      case 'step':
        values[at]! += height;
        break;
      case 'ramp':
        values[at]! += (height * (row - from + 1)) / length;
        break;
      case 'spikes':
        if ((row - from) % period === 0) values[at]! += height;
        break;
      case 'stuck':
        values[at] = held;
        break;
      case 'noise':
        values[at]! += height * 2 * (random() + random() + random() - 1.5);
        break;
      case 'break':
        if (!Number.isNaN(elsewhere[row - from]!)) values[at] = elsewhere[row - from]!;
        break;
    }
  }
}

/** Of a long recording, rows evenly spread tell as much. */
const MOST_ROWS_FOR_DEVIATION = 20_000;

/** Per channel: of the middle 90 %, or of all where these do not vary. */
function deviationsOf({ channels, rows, values }: Recording): Float64Array {
  const width = channels.length;
  const chosen = evenly(Math.min(rows, MOST_ROWS_FOR_DEVIATION), rows);
  return Float64Array.from(channels, (_, c) => {
    const sorted = Float64Array.from(chosen, (row) => values[row * width + c]!)
      .filter(Number.isFinite)
      .toSorted();
    if (sorted.length === 0) return 0;
    const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
    const all = Math.sqrt(sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0) / sorted.length);
    // Of a normal distribution, 90 % lie within 3.29 deviations.
    const middle = (quantileOfSorted(sorted, 0.95) - quantileOfSorted(sorted, 0.05)) / 3.29;
    return middle > 0 ? Math.min(all, middle) : all;
  });
}

function shuffled<T>(list: readonly T[], random: () => number): T[] {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j]!, copy[i]!];
  }
  return copy;
}
