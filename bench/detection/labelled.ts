import { countPoints, pointMetrics, poolCounts, vusPr } from '@drover/detection';
import type { PointMetrics } from '@drover/detection';
import type { Measure } from '../harness/bench.ts';
import type { FileScores } from './backtest-job.ts';
import { byFamily, over } from './families.ts';
import type { FamilyRun } from './families.ts';

export interface LabelledGoal {
  readonly family: string;
  readonly leastF1: number;
  readonly mostFar: number;
}

/** F1, FAR, MAR and VUS-PR of rows after those trained on, all files pooled; an alarm that is always on beside it. */
export function labelledMeasures(title: string, runs: readonly FamilyRun[], goal?: LabelledGoal): Measure[] {
  return byFamily(runs).flatMap(({ label, runs: own }) => {
    const measured = goal?.family === own[0]!.family ? goal : undefined;
    const f1 = over(own, (run) => pointsOf(run).f1);
    const far = over(own, (run) => 100 * pointsOf(run).far);
    const mar = over(own, (run) => 100 * pointsOf(run).mar);
    const vus = over(own, (run) => vusPr(run.files.map(seriesOf)));
    const name = `${title}, ${label}`;
    return [
      {
        metric: `${name}: F1${f1.spread}`,
        value: f1.mean,
        unit: '',
        peer: { name: 'always on', value: floorOf(own[0]!.files) },
        ...(measured ? { goal: `>= ${measured.leastF1}`, ok: f1.mean >= measured.leastF1 } : {}),
      },
      {
        metric: `${name}: FAR${far.spread}`,
        value: far.mean,
        unit: '%',
        ...(measured ? { goal: `<= ${measured.mostFar} %`, ok: far.mean <= measured.mostFar } : {}),
      },
      { metric: `${name}: MAR${mar.spread}`, value: mar.mean, unit: '%' },
      { metric: `${name}: VUS-PR${vus.spread}`, value: vus.mean, unit: '' },
    ];
  });
}

/** Share of rows after those trained on that are flagged in normal operation, all pieces pooled. */
export function driftMeasures(
  title: string,
  runs: readonly FamilyRun[],
  goal: { readonly family: string; readonly most: number },
): Measure[] {
  return byFamily(runs).map(({ label, runs: own }) => {
    const flagged = over(own, ({ files }) => {
      const rows = files.reduce((sum, { alarms, trainedRows }) => sum + alarms.length - trainedRows, 0);
      const alarms = files.reduce((sum, file) => sum + file.alarms.reduce((count, alarm) => count + alarm, 0), 0);
      return rows === 0 ? 0 : (100 * alarms) / rows;
    });
    const measured = goal.family === own[0]!.family;
    return {
      metric: `${title}, ${label}: flagged${flagged.spread}`,
      value: flagged.mean,
      unit: '%',
      ...(measured ? { goal: `<= ${goal.most} %`, ok: flagged.mean <= goal.most } : {}),
    };
  });
}

function pointsOf({ files }: FamilyRun): PointMetrics {
  return pointMetrics(
    poolCounts(files.map(({ labels, alarms, trainedRows }) => countPoints(labels, alarms, trainedRows))),
  );
}

function seriesOf({ labels, compared, trainedRows }: FileScores) {
  return {
    // A row that was not decided on is one that was not found.
    scores: compared.subarray(trainedRows).map((score) => (Number.isNaN(score) ? -Number.MAX_VALUE : score)),
    labels: labels.subarray(trainedRows),
  };
}

function floorOf(files: readonly FileScores[]): number {
  const always = files.map(({ labels, trainedRows }) =>
    countPoints(labels, new Uint8Array(labels.length).fill(1), trainedRows),
  );
  return pointMetrics(poolCounts(always)).f1;
}
