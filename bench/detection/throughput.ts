import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FAMILIES, ScoreLines, backtestFile } from '@drover/factory';
import { bundledRecordings } from '@drover/recordings';
import type { Measure } from '../harness/bench.ts';

const TRAIN_ROWS = 2_000;
/** One family each whose windows are scored apart and many at a time, and one with state, window by window. */
const TRIALS = [
  { family: 'pca', kind: 'stateless', rows: 120_000, least: 50_000 },
  { family: 'mahalanobis', kind: 'with state', rows: 40_000, least: 10_000 },
];

/** Windows per second of a backtest from a CSV file to the lines of a scores file, everything included but training. */
export async function throughputMeasures(scratch: string): Promise<Measure[]> {
  const measures: Measure[] = [];
  for (const { family, kind, rows, least } of TRIALS.filter((trial) => trial.family in FAMILIES)) {
    const path = join(scratch, `${family}.csv`);
    await writeFile(path, await longRecording(rows));
    let lines: ScoreLines | undefined;
    let characters = 0;
    let cpu = process.cpuUsage();
    const { counters, runMs } = await backtestFile({
      path,
      detector: { family: { name: family }, seed: 1, rows: TRAIN_ROWS },
      sink: ({ channels, detector }) => {
        // Trained: from here on it counts.
        cpu = process.cpuUsage();
        lines = new ScoreLines(channels, detector?.signature ?? null);
        return lines;
      },
      drain: async () => void (characters += lines!.take().length),
    });
    const { user, system } = process.cpuUsage(cpu);
    const value = characters === 0 ? 0 : (counters.windows * 1_000) / runMs;
    measures.push(
      {
        metric: `backtest, ${family} (${kind})`,
        value,
        unit: 'windows/s',
        goal: `>= ${least.toLocaleString('en-US')}`,
        ok: value >= least,
      },
      // What it would be on a machine that does nothing else.
      {
        metric: `backtest, ${family} (${kind}), per second of processor time`,
        value: (counters.windows * 1e6) / (user + system),
        unit: 'windows/s',
      },
    );
  }
  return measures;
}

/** The bundled healthy pump over and over, its times going on. */
async function longRecording(rows: number): Promise<string> {
  const [header, ...lines] = (await readFile(bundledRecordings().normal, 'utf8')).trimEnd().split('\n');
  const tails = lines.map((line) => line.slice(line.indexOf(',')));
  const list = Array.from({ length: rows }, (_, i) => `${1_767_225_600 + i}${tails[i % tails.length]}`);
  return [header, ...list].join('\n');
}
