import { setTimeout } from 'node:timers/promises';
import { QuantileRing } from '@drover/detection';
import type { DetectorSession } from './detector-session.ts';
import { InferenceWorkerLostError } from './errors.ts';

export interface BenchmarkOptions {
  /** Measured runs. Default 200. */
  readonly runs?: number;
  /** Runs before them. Default 20. */
  readonly warmupRuns?: number;
  /**
   * Time between two runs. Default 0: back to back. A sensor's period shows what a run costs when the caches and the
   * processor's clock have cooled down meanwhile.
   */
  readonly pauseMs?: number;
  /** Ends after this time with the runs that were made by then, at least one. Default: none. */
  readonly budgetMs?: number;
}

/** Times of bare runs, microseconds. */
export interface BenchmarkReport {
  readonly runs: number;
  readonly p50Us: number;
  readonly p95Us: number;
  readonly p99Us: number;
  /** Each run's, in order, to be put together with those of other rounds. */
  readonly timesUs: readonly number[];
  /** Resident memory of the whole process afterwards. */
  readonly rssBytes: number;
}

/** Share of the budget that runs before the measured ones may take. */
const WARMUP_SHARE = 0.2;

/**
 * Measures a session on what its window holds; its state starts from zeros and ends so. Other work of the thread goes on
 * between two runs.
 *
 * @throws InferenceWorkerLostError when it was cut short by `signal`
 */
export async function benchmarkSession(
  session: DetectorSession,
  { runs = 200, warmupRuns = 20, pauseMs = 0, budgetMs = Number.POSITIVE_INFINITY }: BenchmarkOptions = {},
  signal?: AbortSignal,
): Promise<BenchmarkReport> {
  const timesUs: number[] = [];
  const begin = performance.now();
  session.resetState();
  const run = async (): Promise<number> => {
    if (signal?.aborted === true) throw new InferenceWorkerLostError('The measurement was cut short');
    if (pauseMs > 0) await setTimeout(pauseMs);
    const start = performance.now();
    await session.run();
    return (performance.now() - start) * 1_000;
  };
  for (let i = 0; i < warmupRuns && performance.now() - begin < budgetMs * WARMUP_SHARE; i += 1) await run();
  while (timesUs.length < runs && (timesUs.length === 0 || performance.now() - begin < budgetMs)) {
    timesUs.push(await run());
  }
  session.resetState();
  return { ...quantilesOf(timesUs), timesUs, rssBytes: process.memoryUsage.rss() };
}

/** @param timesUs at least one */
export function quantilesOf(timesUs: readonly number[]): Pick<BenchmarkReport, 'runs' | 'p50Us' | 'p95Us' | 'p99Us'> {
  const ring = new QuantileRing(timesUs.length);
  for (const timeUs of timesUs) ring.add(timeUs);
  const { p50, p95, p99 } = ring.summary()!;
  return { runs: timesUs.length, p50Us: p50, p95Us: p95, p99Us: p99 };
}
