import type { PolicySpec } from '@drover/detection';
import { encodeModel } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import type { TrainedDetector } from '../detector.ts';
import { scoreWindows } from '../detector-session.ts';
import { injectFaults } from '../evaluation/synthetic-faults.ts';
import { quantile } from '../quantile.ts';
import { quantizeInt8 } from '../compression/quantize-int8.ts';
import type { Int8Report } from '../compression/quantize-int8.ts';
import { concatWindows, selectWindows, thinned } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';

/** Precisions that the factory can make. */
export type VariantPrecision = 'fp32' | 'int8';

export interface MadeVariant {
  readonly precision: VariantPrecision;
  readonly model: ValidModel;
  readonly bytes: Uint8Array;
  readonly policy: PolicySpec;
  /** Scores of the normal training windows, by this variant. */
  readonly normalScores: Float32Array;
  readonly int8?: Int8Report;
}

const CALIBRATION_WINDOWS = 512;
const MATCHED_QUANTILE = 0.95;

/** The trained network as it is. */
export async function makeFp32(detector: TrainedDetector): Promise<MadeVariant> {
  const bytes = encodeModel(detector.graph);
  const { score } = await scoreWindows(bytes, normalWindowsOf(detector));
  return { precision: 'fp32', model: detector.graph, bytes, policy: detector.policy, normalScores: score };
}

/**
 * The network in int8. Ranges are calibrated on training windows and on as many with synthetic faults, because an
 * anomaly that saturates the input would look smaller than it is. The threshold moves with the scores of normal windows,
 * so that rounding makes neither more nor fewer alarms.
 */
export async function makeInt8(
  detector: TrainedDetector,
  fp32: MadeVariant,
  random: () => number,
): Promise<MadeVariant> {
  const normal = normalWindowsOf(detector);
  const calibration = thinned(normal, CALIBRATION_WINDOWS);
  const { model, report } = await quantizeInt8(
    detector.graph,
    concatWindows(calibration, injectFaults(calibration, random)),
  );
  const bytes = encodeModel(model);
  const { score } = await scoreWindows(bytes, normal);
  const ratio = quantile(score, MATCHED_QUANTILE) / quantile(fp32.normalScores, MATCHED_QUANTILE);
  return {
    precision: 'int8',
    model,
    bytes,
    policy: { ...detector.policy, threshold: detector.policy.threshold * (Number.isFinite(ratio) ? ratio : 1) },
    normalScores: score,
    int8: report,
  };
}

/** The training windows that the trainer took for normal. */
export function normalWindowsOf({ trainedOn, normal }: TrainedDetector): WindowSet {
  return selectWindows(
    trainedOn,
    normal.flatMap((flag, index) => (flag ? [index] : [])),
  );
}
