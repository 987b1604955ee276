import { nabBestThreshold, nabFalseAlarms, nabProbation, nabScore, nabWindowsOf } from '@drover/detection';
import type { NabSeries } from '@drover/detection';
import type { LabelWindow } from '@drover/recordings';
import type { Measure } from '../harness/bench.ts';
import type { FileScores } from './backtest-job.ts';
import { byFamily, over } from './families.ts';
import type { FamilyRun } from './families.ts';

const DAY_MS = 86_400_000;
const GOALS = { family: 'auto', best: 62, own: 58, alarmsPerDay: 0.2 };

/** The score of the Numenta Anomaly Benchmark, standard profile: with its own best threshold, and with the detector's decisions. */
export function nabMeasures(
  title: string,
  runs: readonly FamilyRun[],
  windows: ReadonlyMap<string, readonly LabelWindow[]>,
): Measure[] {
  return byFamily(runs).flatMap(({ label, runs: own }) => {
    const best = over(own, (run) => nabBestThreshold(corpusOf(run, windows), run.files.map(scoresOf)).score);
    const decided = over(
      own,
      (run) =>
        nabScore(
          corpusOf(run, windows),
          run.files.map(({ onsets }) => onsets),
        ).score,
    );
    const alarms = over(own, (run) => {
      const corpus = corpusOf(run, windows);
      const count = run.files.reduce((sum, { onsets }, i) => sum + nabFalseAlarms(corpus[i]!, onsets), 0);
      return count / run.files.reduce((sum, file, i) => sum + observedDays(file, corpus[i]!), 0);
    });
    const measured = own[0]!.family === GOALS.family;
    const name = `${title}, ${label}`;
    return [
      {
        metric: `${name}: score at the best threshold for all${best.spread}`,
        value: best.mean,
        unit: '',
        ...(measured ? { goal: `>= ${GOALS.best}`, ok: best.mean >= GOALS.best } : {}),
      },
      {
        metric: `${name}: score of its own decisions${decided.spread}`,
        value: decided.mean,
        unit: '',
        ...(measured ? { goal: `>= ${GOALS.own}`, ok: decided.mean >= GOALS.own } : {}),
      },
      {
        metric: `${name}: false alarms${alarms.spread}`,
        value: alarms.mean,
        unit: '/day',
        ...(measured ? { goal: `<= ${GOALS.alarmsPerDay}`, ok: alarms.mean <= GOALS.alarmsPerDay } : {}),
      },
    ];
  });
}

function corpusOf({ files }: FamilyRun, windows: ReadonlyMap<string, readonly LabelWindow[]>): NabSeries[] {
  return files.map(({ path, timesMs }) => ({
    rows: timesMs.length,
    windows: nabWindowsOf(timesMs, windows.get(path) ?? []),
    probation: nabProbation(timesMs.length),
  }));
}

function scoresOf({ compared }: FileScores): Float64Array {
  return compared.map((score) => (Number.isNaN(score) ? -Number.MAX_VALUE : score));
}

function observedDays({ timesMs }: FileScores, { probation }: NabSeries): number {
  return Math.max(0, (timesMs.at(-1) ?? 0) - (timesMs[probation] ?? timesMs.at(-1) ?? 0)) / DAY_MS;
}
