import { describe, expect, it } from 'vitest';
import { benchmarkSession, quantilesOf } from './benchmark.ts';
import { DetectorSession } from './detector-session.ts';
import { InferenceWorkerLostError } from './errors.ts';
import { runtime, sampleDetector, sampleSignature } from './sample-detector.fixture.ts';

function open(stateful = false): Promise<DetectorSession> {
  return DetectorSession.open(runtime, sampleDetector({ stateful }), sampleSignature(), { providers: [] });
}

describe('a measurement of bare runs', () => {
  it('gives each run’s time and their quantiles by nearest rank', async () => {
    const report = await benchmarkSession(await open(), { runs: 40, warmupRuns: 2 });
    expect(report.timesUs).toHaveLength(40);
    const sorted = report.timesUs.toSorted((a, b) => a - b);
    expect(report).toMatchObject({ runs: 40, p50Us: sorted[19], p95Us: sorted[37], p99Us: sorted[39] });
    expect(quantilesOf([3, 1, 2])).toEqual({ runs: 3, p50Us: 2, p95Us: 3, p99Us: 3 });
  });

  it('ends when its time is over, with one run at least', async () => {
    const session = await open();
    const start = performance.now();
    const { runs } = await benchmarkSession(session, { runs: 1e9, warmupRuns: 1e9, budgetMs: 50 });
    expect(performance.now() - start).toBeLessThan(1_000);
    expect(runs).toBeGreaterThan(10);
    const one = await benchmarkSession(session, { runs: 1e9, budgetMs: 0 });
    expect(one.runs).toBe(1);
  });

  it('leaves no trace in a model’s state', async () => {
    const session = await open(true);
    session.window.fill(4);
    await benchmarkSession(session, { runs: 3, warmupRuns: 0 });
    expect(session.exportState()['level']).toEqual(new Float32Array(2));
  });

  it('stops when it is told to', async () => {
    const stopping = new AbortController();
    const measuring = benchmarkSession(await open(), { runs: 1e9 }, stopping.signal);
    setImmediate(() => stopping.abort());
    await expect(measuring).rejects.toThrow(InferenceWorkerLostError);
  });
});
