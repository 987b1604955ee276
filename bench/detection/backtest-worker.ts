/** A thread that does backtests, one job after another. */
import { parentPort } from 'node:worker_threads';
import { CollectedScores, backtestFile } from '@drover/factory';
import { readRecording } from '@drover/recordings';
import { CallerError } from '@drover/runtime';
import type { BacktestJob, FileScores } from './backtest-job.ts';

parentPort!.on('message', (job: BacktestJob) => void run(job));

async function run({ family, seed, files }: BacktestJob): Promise<void> {
  const results: FileScores[] = [];
  for (const { path, train } of files) {
    const scores = new CollectedScores();
    const sink = (): CollectedScores => scores;
    try {
      const detector = { family: { name: family }, seed, rows: train };
      const { trainedRows, trainMs, detector: trained } = await backtestFile({ path, detector, sink });
      const families = trained?.summary?.families;
      results.push({
        ...packed(path, scores),
        trainedRows,
        trainMs,
        family: trained?.family ?? family,
        picked: typeof families === 'string' ? families : null,
        problem: null,
      });
    } catch (error) {
      if (!(error instanceof CallerError)) throw error;
      const silent = new CollectedScores();
      for await (const row of await readRecording(path)) silent.row(row);
      const nothing = { trainedRows: 0, trainMs: 0, family, picked: null, problem: error.message };
      results.push({ ...packed(path, silent), ...nothing });
    }
  }
  parentPort!.postMessage(results, []);
}

function packed(path: string, { timesMs, labels, compared, alarms, onsets }: CollectedScores) {
  return {
    path,
    timesMs: Float64Array.from(timesMs),
    labels: Uint8Array.from(labels),
    compared: Float64Array.from(compared),
    alarms: Uint8Array.from(alarms),
    onsets: Uint8Array.from(onsets),
  };
}
