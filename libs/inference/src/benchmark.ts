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
}

/** Times of bare runs, microseconds. */
export interface BenchmarkReport {
  readonly runs: number;
  readonly p50Us: number;
  readonly p95Us: number;
  readonly p99Us: number;
  /** Resident memory of the whole process afterwards. */
  readonly rssBytes: number;
}

/**
 * Measures a session on what its window holds. Other work of the thread goes on between two runs.
 *
 * @throws InferenceWorkerLostError when it was cut short by `signal`
 */
export async function benchmarkSession(
  session: DetectorSession,
  { runs = 200, warmupRuns = 20, pauseMs = 0 }: BenchmarkOptions = {},
  signal?: AbortSignal,
): Promise<BenchmarkReport> {
  const times = new QuantileRing(runs);
  for (let i = -warmupRuns; i < runs; i += 1) {
    if (signal?.aborted === true) throw new InferenceWorkerLostError('The measurement was cut short');
    if (pauseMs > 0) await setTimeout(pauseMs);
    const start = performance.now();
    await session.run();
    if (i >= 0) times.add((performance.now() - start) * 1_000);
  }
  session.resetState();
  const { p50, p95, p99 } = times.summary()!;
  return { runs, p50Us: p50, p95Us: p95, p99Us: p99, rssBytes: process.memoryUsage.rss() };
}
