import type { Metrics } from '@drover/contracts';
import { qualityOf } from '../evaluation/trial.ts';
import type { CollectedScores } from './collected-scores.ts';

export interface MeasuredBacktest {
  readonly scores: CollectedScores;
  /** First row that counts; default: the first that was decided on. */
  readonly fromRow?: number;
}

/**
 * Quality of backtests on labelled recordings, pooled as if they were one, by the same measures as a release's card.
 *
 * @param window W and the rate of the model: how late an alarm may come and still belong to an event
 */
export function backtestQuality(
  backtests: readonly MeasuredBacktest[],
  model: { readonly window: number; readonly rateHz: number },
): Metrics {
  const items = backtests.map(({ scores }) => ({
    recording: {
      channels: [],
      rows: scores.labels.length,
      values: new Float32Array(0),
      timesMs: Float64Array.from(scores.timesMs),
      labels: Uint8Array.from(scores.labels),
    },
  }));
  const answers = backtests.map(({ scores, fromRow = 0 }) => {
    const decided = scores.compared.findIndex((value) => !Number.isNaN(value));
    const rows = scores.labels.length;
    return {
      alarms: Uint8Array.from(scores.alarms),
      compared: Float64Array.from(scores.compared),
      from: Math.min(rows, Math.max(fromRow, decided < 0 ? rows : decided)),
    };
  });
  return qualityOf({ items, probes: [], measuredOn: 'labelled' }, answers, { stride: 1, maxGapMs: 1, ...model });
}
