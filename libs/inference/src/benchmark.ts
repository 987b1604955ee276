import { QuantileRing } from '@drover/detection';
import type { DetectorSession } from './detector-session.ts';

export interface BenchmarkOptions {
  /** Measured runs. Default 200. */
  readonly runs?: number;
  /** Runs before them. Default 20. */
  readonly warmupRuns?: number;
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

/** Measures a session on what its window holds. Other work of the thread goes on between two runs. */
export async function benchmarkSession(
  session: DetectorSession,
  { runs = 200, warmupRuns = 20 }: BenchmarkOptions = {},
): Promise<BenchmarkReport> {
  for (let i = 0; i < warmupRuns; i += 1) await session.run();
  const times = new QuantileRing(runs);
  for (let i = 0; i < runs; i += 1) {
    const start = performance.now();
    await session.run();
    times.add((performance.now() - start) * 1_000);
  }
  session.resetState();
  const { p50, p95, p99 } = times.summary()!;
  return { runs, p50Us: p50, p95Us: p95, p99Us: p99, rssBytes: process.memoryUsage.rss() };
}
