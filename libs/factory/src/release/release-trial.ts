import type { ModelCard } from '@drover/contracts';
import { intervalsOf } from '@drover/detection';
import type { DetectorShape } from '../detector-session.ts';
import { boundedItems, faultyHoldOuts } from '../evaluation/trial-data.ts';
import type { HoldOut } from '../evaluation/trial-data.ts';
import type { EvaluationRecording } from '../evaluation/replay.ts';
import type { Trial } from '../evaluation/trial.ts';
import type { NamedEvaluation } from './release-options.ts';
import { nameOf } from './prepared-model.ts';

/** Rows that every variant is measured on at most: this bounds the time. A model with state takes several times as long. */
const MOST_ROWS = 100_000;
const MOST_ROWS_WITH_STATE = 30_000;
/** Of them, rows on which decisions are only compared. */
const MOST_PROBE_ROWS = 4_000;
/** A model with state finds its feet in this many rows before those that count. */
const LEAD_ROWS_WITH_STATE = 512;

export interface TrialOptions {
  readonly shape: DetectorShape;
  readonly stateful: boolean;
  readonly random: () => number;
}

export interface ReleaseTrial {
  readonly trial: Trial;
  readonly evaluatedOn: ModelCard['data']['evaluatedOn'];
  readonly limits: readonly string[];
}

/**
 * What variants are measured on: labelled recordings where there are any, and then normal ones with faults for comparing
 * decisions; else held-out normal ones with faults.
 *
 * @param holdOuts normal operation; held out of the training only where there is nothing labelled
 */
export function releaseTrial(
  evaluation: readonly NamedEvaluation[],
  holdOuts: readonly (HoldOut & { readonly name: string; readonly digest: string | null })[],
  { shape, stateful, random }: TrialOptions,
): ReleaseTrial {
  const most = stateful ? MOST_ROWS_WITH_STATE : MOST_ROWS;
  const lead = shape.window - 1 + (shape.warmup ?? 0) * shape.stride + (stateful ? LEAD_ROWS_WITH_STATE : 0);
  if (evaluation.length > 0) {
    const { items, cut } = boundedItems(evaluation, most, lead);
    const limits = cut
      ? [`The labelled recordings are long: measured on about ${most} of their rows, on a stretch of each.`]
      : [];
    if (items.every(({ recording, fromRow = 0 }) => !recording.labels.subarray(fromRow).some((label) => label !== 0))) {
      limits.push('Nothing is labelled in the recordings for evaluation: only false alarms could be measured.');
    }
    return {
      trial: { items, measuredOn: 'labelled', probes: faultyHoldOuts(holdOuts, lead, random, MOST_PROBE_ROWS) },
      evaluatedOn: evaluation.map(({ recording, fromRow = 0 }, i) => ({
        name: nameOf(recording, i),
        rows: recording.rows - fromRow,
        digest: recording.digest ?? null,
        labelledShare: shareOf(recording.labels, fromRow),
      })),
      limits,
    };
  }
  const items = faultyHoldOuts(holdOuts, lead, random, most);
  if (items.length === 0) {
    return {
      trial: { items, measuredOn: 'synthetic', probes: [] },
      evaluatedOn: [],
      limits: [
        'Its quality was not measured: there is neither a labelled recording nor normal operation to put faults in.',
      ],
    };
  }
  return {
    trial: { items, measuredOn: 'synthetic', probes: [] },
    evaluatedOn: holdOuts.map(({ name, digest, recording, from }) => ({
      name,
      digest,
      rows: recording.rows - from,
      labelledShare: items.reduce((sum, item) => sum + shareOf(item.recording.labels, item.fromRow), 0) / items.length,
    })),
    limits: [
      `Measured on ${countOf(items)} synthetic faults only (steps, ramps, spikes, frozen, noisy and detached channels, 1 to 10 deviations): ` +
        'good for comparing variants, no promise for the faults of a real machine.',
    ],
  };
}

function countOf(items: readonly EvaluationRecording[]): number {
  return items.reduce((sum, { recording }) => sum + intervalsOf(recording.labels, recording.labels).length, 0);
}

function shareOf(labels: Uint8Array, from = 0): number {
  let count = 0;
  for (let row = from; row < labels.length; row += 1) if (labels[row] !== 0) count += 1;
  return count / Math.max(1, labels.length - from);
}
