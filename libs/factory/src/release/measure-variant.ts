import type { Metrics } from '@drover/contracts';
import { pointMetrics, poolCounts } from '@drover/detection';
import { scoreWindows } from '../detector-session.ts';
import { agreementOf, alarmsOf, countsOf } from '../evaluation/replay.ts';
import type { EvaluationRecording } from '../evaluation/replay.ts';
import { scoreRecording } from '../evaluation/score-recording.ts';
import type { RecordingScores } from '../evaluation/score-recording.ts';
import { quantileOfSorted } from '../quantile.ts';
import type { WindowSet, WindowShape } from '../window-set.ts';
import type { MadeVariant } from './make-variants.ts';

/** What variants are measured on. */
export interface TrialData {
  readonly shape: WindowShape;
  /** Labelled recordings; may be none. */
  readonly evaluation: readonly EvaluationRecording[];
  /** Normal windows and such with synthetic faults: agreement is measured here where nothing is labelled. */
  readonly probes: WindowSet;
}

/** The answers of one variant to the trial data. */
export interface TrialResult {
  readonly recordings: readonly RecordingScores[];
  readonly probes: Float32Array;
}

const QUANTILES = { p50: 0.5, p95: 0.95, p99: 0.99, max: 1 };

export async function runTrial(variant: MadeVariant, trial: TrialData): Promise<TrialResult> {
  const recordings: RecordingScores[] = [];
  for (const { recording } of trial.evaluation) {
    recordings.push(await scoreRecording(variant.bytes, recording, trial.shape));
  }
  const { score } = await scoreWindows(variant.bytes, trial.probes);
  return { recordings, probes: score };
}

/**
 * F1, false-alarm and missed-alarm rate over the labelled recordings pooled (absent without any), quantiles of the score
 * on normal training windows, and for all but fp32 the share of equal decisions.
 */
export function metricsOf(
  variant: MadeVariant,
  result: TrialResult,
  trial: TrialData,
  reference?: { readonly variant: MadeVariant; readonly result: TrialResult },
): Metrics {
  const sorted = variant.normalScores.toSorted();
  const scoreQuantiles = Object.fromEntries(
    Object.entries(QUANTILES).map(([name, q]) => [name, quantileOfSorted(sorted, q)]),
  );
  const metrics: Metrics = { scoreQuantiles };
  if (trial.evaluation.length > 0) {
    const counts = trial.evaluation.map((item, i) => countsOf(result.recordings[i]!, item, variant.policy));
    const { f1, far, mar } = pointMetrics(poolCounts(counts));
    Object.assign(metrics, { f1, far, mar });
  }
  return reference === undefined ? metrics : { ...metrics, agreement: agreement(variant, result, trial, reference) };
}

function agreement(
  variant: MadeVariant,
  result: TrialResult,
  trial: TrialData,
  reference: { readonly variant: MadeVariant; readonly result: TrialResult },
): number {
  if (trial.evaluation.length === 0) {
    return agreementOf(overOf(variant, result), overOf(reference.variant, reference.result));
  }
  let same = 0;
  let rows = 0;
  for (const [i, { recording, fromRow = 0 }] of trial.evaluation.entries()) {
    const own = alarmsOf(result.recordings[i]!, recording.rows, variant.policy, fromRow);
    const other = alarmsOf(reference.result.recordings[i]!, recording.rows, reference.variant.policy, fromRow);
    const compared = Math.max(0, recording.rows - fromRow);
    same += agreementOf(own, other, fromRow) * compared;
    rows += compared;
  }
  return rows === 0 ? 1 : same / rows;
}

/** Per probe, whether its score reaches the variant's threshold. */
function overOf({ policy }: MadeVariant, { probes }: TrialResult): Uint8Array {
  return Uint8Array.from(probes, (score) => (score >= policy.threshold ? 1 : 0));
}
