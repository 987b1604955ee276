import type { AnomalyUpdate, Decision, PolicySpec } from '@drover/detection';
import { DataType, GraphBuilder, encodeModel, float32, int64 } from '@drover/onnx';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DetectionPath } from './detection-path.ts';
import type { PathCounters } from './detection-path.ts';
import { DetectorSession } from './detector-session.ts';
import { Replay, openReplaySession, replay } from './replay.ts';
import type { ReplayRow } from './replay.ts';
import { runtime, sampleDetector, sampleSignature } from './sample-detector.fixture.ts';
import type { SampleDetectorOptions } from './sample-detector.fixture.ts';

const policy: PolicySpec = { kind: 'threshold', threshold: 10, releaseRatio: 0.5, minLength: 2 };
const signature = sampleSignature({ window: 3, stride: 2, warmup: 1 });

interface Told {
  readonly decisions: { row: number; timeMs: number; compared: number; active: boolean; contributions: number[] }[];
  readonly updates: AnomalyUpdate[];
  readonly gaps: number[];
  counters: PathCounters | null;
}

/** The recording, live. */
async function live(rows: readonly ReplayRow[], model: SampleDetectorOptions): Promise<Told> {
  const told: Told = { decisions: [], updates: [], gaps: [], counters: null };
  const session = await DetectorSession.open(runtime, sampleDetector({ window: 3, ...model }), signature, {
    providers: [],
  });
  let ids = 0;
  let row = -1;
  const path = new DetectionPath({
    session,
    signature,
    policy,
    sourceChannels: ['a', 'b'],
    newId: () => String((ids += 1)),
    listener: {
      onAnomaly: (update) => told.updates.push(update),
      onDecision: (timeMs, { compared, active }, contributions) =>
        told.decisions.push({ row, timeMs, compared, active, contributions: [...contributions] }),
    },
  });
  for (const { timeMs, values } of rows) {
    row += 1;
    const { restarts } = path.counters;
    const step = path.accept(timeMs, values);
    if (path.counters.restarts > restarts) told.gaps.push(row);
    if (step !== 'none') await path.score(step);
  }
  path.close('stopped');
  told.counters = path.counters;
  await session.release();
  return told;
}

async function replayed(rows: readonly ReplayRow[], model: SampleDetectorOptions, batch = 8): Promise<Told> {
  const told: Told = { decisions: [], updates: [], gaps: [], counters: null };
  const session = await openReplaySession(runtime, sampleDetector({ window: 3, ...model }), signature, {
    providers: [],
    batch,
  });
  told.counters = await replay(
    session,
    signature,
    policy,
    rows,
    (timeMs, { compared, active }, contributions, row) =>
      told.decisions.push({ row, timeMs, compared, active, contributions: [...contributions] }),
    { onAnomaly: (update) => told.updates.push(update), onGap: (row) => told.gaps.push(row) },
  );
  await session.release();
  return told;
}

const value = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -3, max: 3 }) },
  { weight: 3, arbitrary: fc.integer({ min: 4, max: 9 }) },
  { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, 3e38) },
);
/** A long gap, a step backwards, the same time twice, or a second. */
const step = fc.oneof(
  { weight: 12, arbitrary: fc.constant(1_000) },
  { weight: 1, arbitrary: fc.constantFrom(0, -2_000, 4_000, 60_000, -60_000) },
);
const recording = fc.array(fc.tuple(step, value, value), { minLength: 1, maxLength: 80 }).map((steps) => {
  let timeMs = 1_000_000;
  return steps.map(([stepMs, a, b]) => ({ timeMs: (timeMs += stepMs), values: [a, b] }));
});

describe('a replay', () => {
  for (const [name, model] of [
    ['in batches', {}],
    ['with a mask', { masked: true }],
    ['one by one, of a detector with state', { stateful: true }],
  ] as const) {
    it(`decides as the live path does, ${name}`, async () => {
      await fc.assert(
        fc.asyncProperty(recording, async (rows) => {
          // Whole numbers are summed without rounding, so even another order of sums gives the same bits.
          expect(await replayed(rows, model)).toEqual(await live(rows, model));
        }),
        { numRuns: 40 },
      );
    });
  }

  it('says the same of a recording that is cut', async () => {
    const rows = Array.from({ length: 400 }, (_, i) => ({
      timeMs: i * 1_000 + (i > 200 ? 60_000 : 0),
      values: [Math.sin(i / 7) * 5, Math.cos(i * 1.7) * 0.3],
    }));
    const whole = await replayed(rows, {}, 64);
    for (const k of [1, 5, 63, 131, 200, 333]) {
      const cut = await replayed(rows.slice(0, k), {}, 64);
      expect(cut.decisions).toEqual(whole.decisions.slice(0, cut.decisions.length));
      expect(cut.decisions.length).toBe(whole.decisions.filter(({ row }) => row < k).length);
    }
  });

  it('decides on nothing before a row, though window and state move on', async () => {
    const rows = Array.from({ length: 60 }, (_, i) => ({
      timeMs: i * 1_000,
      values: [i % 11, i % 2 === 0 ? 20 : -20],
    }));
    for (const model of [{}, { stateful: true }]) {
      const session = await openReplaySession(runtime, sampleDetector({ window: 3, ...model }), signature, {
        providers: [],
      });
      const decisionsFrom = async (
        decideFrom: number,
      ): Promise<{ row: number; compared: number; onset: boolean }[]> => {
        const seen: { row: number; compared: number; onset: boolean }[] = [];
        const visit = (_time: number, { compared, onset }: Decision, _contributions: unknown, row: number): void =>
          void seen.push({ row, compared, onset });
        await replay(session, signature, policy, rows, visit, { decideFrom });
        return seen;
      };
      const whole = await decisionsFrom(0);
      const late = await decisionsFrom(31);
      const scores = (list: typeof whole): unknown[] => list.map(({ row, compared }) => [row, compared]);
      expect(scores(late)).toEqual(scores(whole.filter(({ row }) => row >= 31)));
      // An alarm that was on before begins anew: nothing is remembered of what was not decided on.
      expect(late.some(({ onset }) => onset)).toBe(true);
      await session.release();
    }
  });

  it('takes tables, lists and streams alike', async () => {
    const rows = Array.from({ length: 50 }, (_, i) => ({ timeMs: i * 1_000, values: Float32Array.of(i % 5, 1) }));
    async function* stream(): AsyncGenerator<ReplayRow> {
      yield* rows;
    }
    const table = {
      timesMs: rows.map(({ timeMs }) => timeMs),
      values: rows.flatMap(({ values }) => [...values]),
    };
    const session = await openReplaySession(runtime, sampleDetector({ window: 3 }), signature, { providers: [] });
    const results = [];
    for (const source of [rows, stream(), table]) {
      const compared: number[] = [];
      await replay(session, signature, policy, source, (_time, decision) => compared.push(decision.compared));
      results.push(compared);
    }
    expect(results[0]).toHaveLength(23);
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it('runs windows one by one where a graph mixes those of a run', async () => {
    const graph = new GraphBuilder('mixing');
    const x = graph.input('window', DataType.FLOAT, ['N', 3, 2]);
    const overTime = graph.initializer('over_time', int64([1]));
    graph.node('DynamicQuantizeLinear', [x], {}, { outputs: ['quantised', 'step', 'zero'] });
    const back = graph.node('DequantizeLinear', ['quantised', 'step', 'zero']);
    graph.node('ReduceMean', [back, overTime], { keepdims: 0 }, { outputs: ['contributions'] });
    graph.node('ReduceMean', ['contributions', overTime], { keepdims: 1 }, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, ['N', 1]);
    graph.output('contributions', DataType.FLOAT, ['N', 2]);
    const session = await openReplaySession(runtime, encodeModel(graph.build()), signature, { providers: [] });
    expect(session.batch).toBe(1);
  });

  it('loses only the window that makes a run fail', async () => {
    const single = sampleSignature({ window: 1 }, 1);
    const graph = new GraphBuilder('failing');
    const x = graph.input('window', DataType.FLOAT, ['N', 1, 1]);
    const flat = graph.node('Reshape', [x, graph.initializer('flat', int64([-1]))]);
    const index = graph.node('Cast', [flat], { to: DataType.INT64 });
    // An index outside of the table is an error of the run.
    const looked = graph.node('Gather', [graph.initializer('table', float32([0, 1, 20, 30], [4])), index]);
    graph.node('Reshape', [looked, graph.initializer('column', int64([-1, 1]))], {}, { outputs: ['score'] });
    graph.node('Abs', ['score'], {}, { outputs: ['contributions'] });
    graph.output('score', DataType.FLOAT, ['N', 1]);
    graph.output('contributions', DataType.FLOAT, ['N', 1]);
    const session = await DetectorSession.open(runtime, encodeModel(graph.build()), single, {
      providers: [],
      batch: 4,
    });
    const faults: string[] = [];
    const decided: number[] = [];
    const run = new Replay({
      session,
      signature: single,
      policy,
      visit: (_time, { compared }) => decided.push(compared),
      onFault: ({ code }) => faults.push(code),
    });
    for (const [i, each] of [1, 2, 99, 3, 0].entries()) if (run.push(i * 1_000, [each])) await run.flush();
    expect(await run.finish()).toMatchObject({ windows: 4, failedRuns: 1 });
    expect(decided).toEqual([1, 20, 30, 0]);
    expect(faults).toEqual(['run-failed']);
  });
});
