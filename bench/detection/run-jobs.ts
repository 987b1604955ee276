import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { BenchFailedError } from '../harness/bench-failed.ts';
import type { BacktestJob, FileScores } from './backtest-job.ts';

const THREADS = 2;

/** Does jobs in two threads. Results are in the order of the jobs. @param done is told when one has ended */
export async function runJobs(
  jobs: readonly BacktestJob[],
  done: (job: BacktestJob, index: number) => void,
): Promise<FileScores[][]> {
  const results: FileScores[][] = [];
  let next = 0;
  const thread = async (): Promise<void> => {
    const worker = new Worker(new URL('backtest-worker.ts', import.meta.url));
    try {
      while (next < jobs.length) {
        const index = next;
        next += 1;
        worker.postMessage(jobs[index], []);
        const [answer] = (await once(worker, 'message')) as [FileScores[]];
        results[index] = answer;
        done(jobs[index]!, index);
      }
    } catch (cause) {
      throw new BenchFailedError(`A backtest failed: ${cause instanceof Error ? cause.message : String(cause)}`, {
        cause,
      });
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(THREADS, jobs.length) }, thread));
  return results;
}
