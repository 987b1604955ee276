import type { GoldenOutputs, Precision } from '@drover/contracts';
import { scoreWindows } from '../detector-session.ts';
import { injectFaults } from '../evaluation/synthetic-faults.ts';
import { concatWindows, evenly, selectWindows } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';

const NORMAL = 4;
const FAULTY = 5;

/**
 * How far a device may be from the factory's outputs. Float: the order of additions, and fused multiply-add. Reduced
 * precision adds values that sit on the border between two steps and may fall either way. Both are far below what changes
 * a decision, and far below what any other model would give.
 */
const TOLERANCES: Record<Precision, { absolute: number; relative: number }> = {
  fp32: { absolute: 0.003, relative: 0.003 },
  fp16: { absolute: 0.02, relative: 0.02 },
  int8: { absolute: 0.02, relative: 0.02 },
  'int8-dynamic': { absolute: 0.02, relative: 0.02 },
  int4: { absolute: 0.02, relative: 0.02 },
};

/** A few windows of normal operation, evenly spread, and one with each kind of fault. */
export function goldenWindows(training: WindowSet, random: () => number): WindowSet {
  const pick = (count: number): WindowSet => selectWindows(training, evenly(count, training.count));
  return concatWindows(pick(NORMAL), injectFaults(pick(FAULTY), random, { smallest: 4, largest: 8 }));
}

/** What the model answers to the golden windows in ONNX Runtime on this machine's CPU. */
export async function goldenOutputs(
  model: Uint8Array,
  golden: WindowSet,
  precision: Precision,
): Promise<GoldenOutputs> {
  const { score, contributions } = await scoreWindows(model, golden);
  const { absolute, relative } = TOLERANCES[precision];
  return {
    score: floatsToBase64(score),
    contributions: floatsToBase64(contributions),
    absoluteTolerance: absolute,
    relativeTolerance: relative,
  };
}

/** float32, little endian, base64: the manifest's form of numbers. */
export function floatsToBase64(values: Float32Array): string {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
