import { quantile } from '../quantile.ts';

/** How the rows of a recording become samples. */
export interface RowSampling {
  /** Samples per second. */
  readonly rateHz: number;
  /** A longer step in time starts the window anew. */
  readonly maxGapMs: number;
  /** Whether times are too irregular to tell a gap from a step. */
  readonly irregular: boolean;
  /** Whether any step goes forward. */
  readonly moves: boolean;
}

/** A step is regular within this share of the median. */
const TOLERANCE = 0.1;
/** With a larger share of other steps, the times do not say when something is missing. */
const MOST_IRREGULAR = 0.05;
/** Of regular times: a machine that was away for longer than this many samples may come back as another. */
const GAP_SAMPLES = 100;
const GAP_LONGEST_STEPS = 3;
/** 100 years: no step is a gap. */
export const NO_GAP_MS = 100 * 365.25 * 86_400_000;

/**
 * Rate and gap rule from the times of training rows alone. The rate is one over the median step forward (1 Hz where no step
 * goes forward). Where steps are regular, a gap is 100 samples, or three times the longest step that training has seen;
 * where more than one step in twenty is not, rows are taken as samples one after another whatever their times, because
 * scores for every row are worth more than a guess at what is missing. Duplicates and small steps backward are samples.
 */
export function samplingOfRows(timesMs: ArrayLike<number>): RowSampling {
  const steps: number[] = [];
  for (let row = 1; row < timesMs.length; row += 1) steps.push(timesMs[row]! - timesMs[row - 1]!);
  const forward = steps.filter((step) => step > 0 && Number.isFinite(step));
  if (forward.length === 0) return { rateHz: 1, maxGapMs: NO_GAP_MS, irregular: true, moves: false };
  const median = quantile(forward, 0.5);
  const regular = steps.filter((step) => Math.abs(step - median) <= TOLERANCE * median).length;
  const rateHz = Math.min(1e6, 1_000 / median);
  if (steps.length - regular > MOST_IRREGULAR * steps.length) {
    return { rateHz, maxGapMs: NO_GAP_MS, irregular: true, moves: true };
  }
  let longest = 0;
  for (const step of steps) longest = Math.max(longest, Math.abs(step));
  const maxGapMs = Math.min(NO_GAP_MS, Math.max(GAP_SAMPLES * median, GAP_LONGEST_STEPS * longest));
  return { rateHz, maxGapMs, irregular: false, moves: true };
}
