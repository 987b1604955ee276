import type { GoldenOutputs, Precision } from '@drover/contracts';
import { scorePlainly, scoreWindows } from '../detector-session.ts';
import { injectFaults } from '../evaluation/synthetic-faults.ts';
import { quantile } from '../quantile.ts';
import { concatWindows, evenly, selectWindows } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';

const NORMAL = 4;
const FAULTY = 5;
/** Of a manifest, for the windows; large ones are fewer. */
const MOST_BYTES = 2 ** 20;

/**
 * How far a device may be from the factory's outputs, relative to a value, and to the outputs' usual size for what is close to
 * 0. Float: the order of additions, and fused multiply-add. Reduced precision adds values that sit on the border between
 * two steps and may fall either way. Both are far below what changes a decision, and far below what any other model gives.
 */
const TOLERANCES: Record<Precision, number> = {
  fp32: 0.003,
  fp16: 0.02,
  int8: 0.02,
  'int8-dynamic': 0.02,
  int4: 0.02,
};
/** Other hardware may differ by more than the same one without optimisations does. */
const OTHER_HARDWARE = 3;

/** A few windows of normal operation, evenly spread, and one with each kind of fault; fewer where they are large. */
export function goldenWindows(training: WindowSet, random: () => number): WindowSet {
  const fitting = Math.floor(MOST_BYTES / (4 * training.window * training.channels));
  const faulty = Math.min(FAULTY, Math.max(1, Math.floor(fitting / 2)));
  const pick = (count: number): WindowSet => selectWindows(training, evenly(count, training.count));
  const faults = injectFaults(pick(faulty), random, { smallest: 4, largest: 8 });
  const normal = Math.min(NORMAL, fitting - faulty);
  return normal > 0 ? concatWindows(pick(normal), faults) : faults;
}

/**
 * What the model answers to the golden windows in ONNX Runtime on this machine's CPU, each from empty state. The tolerance
 * holds what this machine itself gives when nothing is optimised, several times over.
 */
export async function goldenOutputs(
  bytes: Uint8Array,
  golden: WindowSet,
  precision: Precision,
): Promise<GoldenOutputs> {
  const expected = await scoreWindows(bytes, golden);
  const plain = await scorePlainly(bytes, golden);
  const relative = TOLERANCES[precision];
  // One absolute tolerance serves both outputs, whose sizes may be far apart.
  const usual = Math.sqrt(usualSize(expected.score) * usualSize(expected.contributions));
  const measured = Math.max(
    excess(plain.score, expected.score, relative),
    excess(plain.contributions, expected.contributions, relative),
  );
  return {
    score: floatsToBase64(expected.score),
    contributions: floatsToBase64(expected.contributions),
    absoluteTolerance: Math.max(relative * usual, OTHER_HARDWARE * measured),
    relativeTolerance: relative,
  };
}

/** Median magnitude of what is not 0; 1 where all is. */
function usualSize(values: Float32Array): number {
  const sizes = values.filter((value) => value !== 0).map(Math.abs);
  return sizes.length === 0 ? 1 : quantile(sizes, 0.5);
}

/** By how much the largest deviation is over what the relative tolerance, shared with other hardware, allows. */
function excess(got: Float32Array, expected: Float32Array, relative: number): number {
  let worst = 0;
  for (const [i, value] of expected.entries()) {
    worst = Math.max(worst, Math.abs(got[i]! - value) - (relative / OTHER_HARDWARE) * Math.abs(value));
  }
  return worst;
}

/** float32, little endian, base64: the manifest's form of numbers. */
export function floatsToBase64(values: Float32Array): string {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
