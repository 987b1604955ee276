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
const LEAD_ROWS_WITH_STATE = 256;

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

/** Normal operation that was not trained on, or where there is nothing else, that was. */
export interface NormalRows extends HoldOut {
  readonly name: string;
  readonly digest: string | null;
}

/**
 * What variants are measured on: labelled recordings where there are any, and then normal ones with faults for comparing
 * decisions; else normal ones with faults. Recordings for evaluation in which nothing is labelled are normal ones.
 *
 * @param normal held out of the training only where there are no recordings for evaluation
 */
export function releaseTrial(
  evaluation: readonly NamedEvaluation[],
  normal: readonly NormalRows[],
  { shape, stateful, random }: TrialOptions,
): ReleaseTrial {
  const most = stateful ? MOST_ROWS_WITH_STATE : MOST_ROWS;
  const lead = shape.window - 1 + (shape.warmup ?? 0) * shape.stride + (stateful ? LEAD_ROWS_WITH_STATE : 0);
  if (evaluation.length === 0) return syntheticTrial(normal, lead, most, random);
  if (evaluation.every(({ recording, fromRow }) => shareOf(recording.labels, fromRow) === 0)) {
    const unlabelled = evaluation.map(({ recording, fromRow = 0 }, i) => ({
      ...namedRows(recording, i),
      recording,
      from: fromRow,
    }));
    const made = syntheticTrial(unlabelled, lead, most, random);
    return {
      ...made,
      limits: ['Nothing is labelled in the recordings for evaluation: faults were put into them.', ...made.limits],
    };
  }
  const { items, cut } = boundedItems(evaluation, most, lead);
  return {
    trial: { items, measuredOn: 'labelled', probes: faultyHoldOuts(normal, lead, random, MOST_PROBE_ROWS) },
    evaluatedOn: evaluation.map(({ recording, fromRow = 0 }, i) => ({
      ...namedRows(recording, i),
      rows: recording.rows - fromRow,
      labelledShare: shareOf(recording.labels, fromRow),
    })),
    limits: cut
      ? [`The labelled recordings are long: measured on about ${most} of their rows, on a stretch of each.`]
      : [],
  };
}

function syntheticTrial(normal: readonly NormalRows[], lead: number, most: number, random: () => number): ReleaseTrial {
  const items = faultyHoldOuts(normal, lead, random, most);
  const trial: Trial = { items, measuredOn: 'synthetic', probes: [] };
  if (items.length === 0) {
    const why = 'there is neither a labelled recording nor normal operation that varies, to put faults in.';
    return { trial, evaluatedOn: [], limits: [`Its quality was not measured: ${why}`] };
  }
  const labelledShare =
    items.reduce((sum, item) => sum + shareOf(item.recording.labels, item.fromRow), 0) / items.length;
  const evaluatedOn = normal.map(({ name, digest, recording, from }) => ({
    name,
    digest,
    rows: recording.rows - from,
    labelledShare,
  }));
  const limits = [
    `Measured on ${countOf(items)} synthetic faults only (steps, ramps, spikes, frozen, noisy and detached channels, 1 to 10 ` +
      'deviations): good for comparing variants, no promise for the faults of a real machine.',
  ];
  if (evaluatedOn.reduce((sum, { rows }) => sum + rows, 0) > most) {
    limits.push(`Of the rows to measure on, about ${most} were used.`);
  }
  return { trial, evaluatedOn, limits };
}

function namedRows(recording: NamedEvaluation['recording'], index: number): Pick<NormalRows, 'name' | 'digest'> {
  return { name: nameOf(recording, index), digest: recording.digest ?? null };
}

function countOf(items: readonly EvaluationRecording[]): number {
  return items.reduce((sum, { recording }) => sum + intervalsOf(recording.labels, recording.labels).length, 0);
}

function shareOf(labels: Uint8Array, from = 0): number {
  let count = 0;
  for (let row = from; row < labels.length; row += 1) if (labels[row] !== 0) count += 1;
  return count / Math.max(1, labels.length - from);
}
