import type { DescribedVariant } from './describe-variant.ts';
import type { PreparedModel } from './prepared-model.ts';
import { IMPORTED_FAMILY } from './variant-kinds.ts';

/** Fewer windows describe only what happened in that short time. */
const LITTLE_DATA_WINDOWS = 500;

/** What a person should know of a model: what is unusual, though not wrong, and what it was not made for. */
export function limitsOf(
  { detector, channels }: Pick<PreparedModel, 'detector' | 'channels'>,
  described: readonly DescribedVariant[],
): string[] {
  const { normal, trainedOn, shape, warmup, constantChannels } = detector;
  const limits: string[] = [];
  const setAside = normal.filter((flag) => !flag).length;
  if (constantChannels.length > 0) {
    const names = constantChannels.map((c) => channels[c]!.name).join(', ');
    limits.push(`Never changes in the training data, so it is not watched: ${names}.`);
  }
  if (setAside > 0) limits.push(`${setAside} of ${normal.length} training windows look abnormal and were set aside.`);
  if (detector.family !== IMPORTED_FAMILY && trainedOn.count < LITTLE_DATA_WINDOWS) {
    limits.push(
      `Trained on ${trainedOn.count} windows, which is little: what is normal but did not occur in them will alarm.`,
    );
  }
  limits.push(
    `Made for a rate of ${rounded(shape.rateHz)} Hz and windows of ${shape.window} ${shape.window === 1 ? 'sample' : 'samples'}: at another rate the same model sees ` +
      'another machine.',
  );
  if (warmup > 0) limits.push(`Silent for the first ${warmup} windows after a start.`);
  for (const { report } of described) {
    for (const { message } of report.refusals) limits.push(`Not offered: ${message}`);
    const left = report.optimised.leftoverDequantize.length;
    if (left > 0)
      limits.push(`${report.name}: ${left} DequantizeLinear left after optimisation; it runs in float there.`);
  }
  return limits;
}

function rounded(value: number): string {
  return String(Number(value.toPrecision(4)));
}
