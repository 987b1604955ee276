import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BacktestJob, FileScores } from './detection/backtest-job.ts';
import { findDataSets } from './detection/data-sets.ts';
import { familiesFor, runFamilies } from './detection/families.ts';
import type { FamilyRun } from './detection/families.ts';
import { driftMeasures, labelledMeasures } from './detection/labelled.ts';
import { nabMeasures } from './detection/nab.ts';
import { throughputMeasures } from './detection/throughput.ts';
import type { BenchOptions, BenchResult, Measure } from './harness/bench.ts';

export const name = 'detection';
export const summary =
  'how well each family and auto detect, causally, by the code of drover backtest; SKAB and NAB where --data has them';

const SKAB_GOAL = { family: 'auto', leastF1: 0.85, mostFar: 12 };
const DRIFT_GOAL = { family: 'auto', most: 30 };

interface Part {
  readonly title: string;
  readonly files: BacktestJob['files'];
  readonly measure: (title: string, runs: readonly FamilyRun[]) => Measure[];
}

export async function run({ dataDir, families: wanted, say }: BenchOptions): Promise<BenchResult> {
  const families = familiesFor(wanted);
  const scratch = await mkdtemp(join(tmpdir(), 'drover-bench-detection-'));
  try {
    const data = await findDataSets(dataDir, scratch);
    const measures: Measure[] = [...(await throughputMeasures(scratch))];
    const problems: string[] = [];
    const chosen: Record<string, string> = {};
    const parts: readonly Part[] = [
      { title: 'bundled', files: data.bundled, measure: labelledMeasures },
      { title: 'SKAB valve1', files: data.valve, measure: (title, runs) => labelledMeasures(title, runs, SKAB_GOAL) },
      {
        title: 'SKAB anomaly-free',
        files: data.drift,
        measure: (title, runs) => driftMeasures(title, runs, DRIFT_GOAL),
      },
      { title: 'NAB', files: data.nab, measure: (title, runs) => nabMeasures(title, runs, data.nabWindows) },
    ];
    for (const { title, files, measure } of parts) {
      if (files.length === 0) continue;
      say(`${title}: ${files.length} files`);
      const runs = await runFamilies(families, files, say);
      measures.push(...measure(title, runs));
      problems.push(...problemsOf(title, runs));
      const picks = picksOf(runs);
      if (picks !== '') chosen[`auto picked, ${title}`] = picks;
    }
    return {
      measures,
      settings: {
        'trained on': 'SKAB: first 400 rows of each file; NAB: first 15 %, at most 750; bundled: first 300',
        'false alarms': 'FAR and MAR by row, of the rows after; NAB: alarms that begin outside of all windows',
        ...chosen,
        ...(problems.length === 0 ? {} : { 'not trained, so silent': problems.join('; ') }),
      },
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function problemsOf(title: string, runs: readonly FamilyRun[]): string[] {
  return runs
    .filter(({ seed }) => seed === 1)
    .flatMap(({ family, files }) => {
      const failed = files.filter(({ problem }) => problem !== null);
      return failed.length === 0 ? [] : [`${title}, ${family}: ${failed.length} files (${failed[0]!.problem})`];
    });
}

function picksOf(runs: readonly FamilyRun[]): string {
  const files: FileScores[] = runs.flatMap(({ family, seed, files: own }) =>
    family === 'auto' && seed === 1 ? own.filter(({ problem }) => problem === null) : [],
  );
  const counts = Map.groupBy(files, ({ picked }) => picked ?? 'the one for single series');
  return [...counts].map(([pick, list]) => `${list.length} x ${pick}`).join(', ');
}
