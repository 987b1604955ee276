import type { Metrics } from '@drover/contracts';
import {
  countEvents,
  countPoints,
  eventMetrics,
  intervalsOf,
  pointMetrics,
  poolCounts,
  poolEvents,
  vusPr,
} from '@drover/detection';
import type { EventCounts, Interval, PolicySpec, ScoredSeries } from '@drover/detection';
import type { DetectorShape } from '../detector-session.ts';
import { firstCountedRow, replayPolicy } from './replay.ts';
import type { EvaluationRecording, Replay } from './replay.ts';
import { scoreRecordings } from './score-recording.ts';

/** What a release's variants are measured on, all on the same. */
export interface Trial {
  /** Labelled recordings; may be none. */
  readonly items: readonly EvaluationRecording[];
  /** Where the labels of `items` come from. */
  readonly measuredOn: 'labelled' | 'synthetic';
  /** More recordings, faults among them, on which decisions are compared but not judged. */
  readonly probes: readonly EvaluationRecording[];
}

/** One variant's answer to one recording. */
export interface Answer extends Replay {
  /** First row that counts. */
  readonly from: number;
}

/** Answers to a trial's items and then to its probes, in their order. */
export type TrialAnswers = readonly Answer[];

export interface TrialRun {
  readonly bytes: Uint8Array;
  readonly policy: PolicySpec;
  readonly shape: DetectorShape;
}

/** Runs one variant over all recordings of a trial, as devices would. @throws as `scoreRecording` */
export async function answersOf(
  { bytes, policy, shape }: TrialRun,
  { items, probes }: Trial,
  signal?: AbortSignal,
): Promise<TrialAnswers> {
  const all = [...items, ...probes];
  const recordings = all.map(({ recording }) => recording);
  const scored = await scoreRecordings(bytes, recordings, shape, signal);
  return all.map((item, i) => ({
    ...replayPolicy(scored[i]!, item.recording.rows, policy, item.fromRow),
    from: firstCountedRow(scored[i]!, item),
  }));
}

/**
 * Quality on the trial's items, pooled as if they were one recording. Point metrics by row; events by run of rows, where an
 * alarm may come as late as the last window that holds a faulty row; VUS-PR on what the policy compares with its threshold.
 *
 * @returns nothing where there are no items; without events only what needs none
 */
export function qualityOf({ items, measuredOn }: Trial, answers: TrialAnswers, shape: DetectorShape): Metrics {
  if (items.length === 0) return {};
  const periodMs = 1_000 / shape.rateHz;
  const series: ScoredSeries[] = [];
  const events: EventCounts[] = [];
  let observedMs = 0;
  const points = poolCounts(
    items.map(({ recording }, i) => {
      const { alarms, compared, from } = answers[i]!;
      series.push({ scores: compared.subarray(from), labels: recording.labels.subarray(from) });
      const times = recording.timesMs ?? Float64Array.from({ length: recording.rows }, (_, row) => row * periodMs);
      const intervals = (flags: Uint8Array): Interval[] => intervalsOf(flags.subarray(from), times.subarray(from));
      const lagMs = (shape.window - 1) * periodMs;
      events.push(countEvents(intervals(recording.labels), intervals(alarms), { lagMs }));
      observedMs += (recording.rows - from) * periodMs;
      return countPoints(recording.labels, alarms, from);
    }),
  );
  const { f1, far, mar } = pointMetrics(points);
  const pooled = poolEvents(events);
  const { precision, recall, f1: eventF1, delayMs, falseAlarmsPerDay } = eventMetrics(pooled, observedMs);
  const metrics: Metrics = {
    measuredOn,
    far,
    ...(Number.isFinite(falseAlarmsPerDay) ? { falseAlarmsPerDay } : {}),
  };
  if (pooled.labelled === 0) return metrics;
  return {
    ...metrics,
    f1,
    mar,
    vusPr: Math.min(1, Math.max(0, vusPr(series))),
    eventPrecision: precision,
    eventRecall: recall,
    eventF1,
    ...(Number.isFinite(delayMs) ? { detectionDelayMs: delayMs } : {}),
  };
}

/** Share of rows, of items and probes together, that both variants decide alike. 1 where nothing is compared. */
export function agreementOn(a: TrialAnswers, b: TrialAnswers): number {
  let same = 0;
  let rows = 0;
  for (const [i, { alarms, from }] of a.entries()) {
    const other = b[i]!;
    for (let row = Math.max(from, other.from); row < alarms.length; row += 1) {
      if (alarms[row] === other.alarms[row]) same += 1;
      rows += 1;
    }
  }
  return rows === 0 ? 1 : same / rows;
}
