import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { zstdCompressSync } from 'node:zlib';
import { describe, expect, it, vi } from 'vitest';
import type { PathState } from './detection-path.ts';
import {
  DetectorContractError,
  DetectorInUseError,
  GoldenMismatchError,
  InvalidGraphError,
  ModelDamagedError,
  ModelSizeError,
  RuntimeUnavailableError,
  SignatureMismatchError,
  UnknownDetectorError,
  UnknownPipelineError,
} from './errors.ts';
import {
  PIPE,
  deaths,
  host,
  idle,
  news,
  oddsBelow,
  pause,
  push,
  serve,
  spec,
  start,
  starts,
  stats,
  useInferenceHost,
} from './inference-host.fixture.ts';
import { sampleSignature } from './sample-detector.fixture.ts';

useInferenceHost();

describe('inference in its worker', () => {
  it('unpacks a packed model, again in a new worker, and refuses one that is damaged', async () => {
    await start();
    const plain = spec('one');
    const model = zstdCompressSync(plain.model as Uint8Array);
    const encoding = { encoding: 'zstd', decodedSizeBytes: plain.model.length } as const;
    await serve({ ...plain, model, encoding });
    await host.recycle();
    push(1);
    await vi.waitFor(() => expect(starts()).toEqual([1]));
    const damaged = { ...spec('two'), model: model.subarray(0, 50), encoding };
    await expect(host.prepare(PIPE, damaged)).rejects.toThrow(ModelDamagedError);
    const bomb = { ...spec('three'), model, encoding: { ...encoding, decodedSizeBytes: 100 } };
    await expect(host.prepare(PIPE, bomb)).rejects.toThrow(ModelSizeError);
  });

  it('finds anomalies in the samples it is given, and reports figures', async () => {
    await start();
    await serve(spec('v1'));
    for (let n = 0; n < 20; n += 1) push(n);
    await idle();
    expect(starts()).toEqual(oddsBelow(20));
    expect(news[0]).toMatchObject({ pipeline: PIPE, key: 'v1', provider: 'cpu', update: { change: 'opened' } });
    const now = await host.stats(PIPE);
    expect(now).toMatchObject({
      key: 'v1',
      provider: 'cpu',
      samples: 20,
      windows: 20,
      invalidScores: 0,
      failedRuns: 0,
    });
    expect(now!.latencyUs!.p50).toBeGreaterThan(0);
    expect(now!.pathUs!.p50).toBeLessThanOrEqual(now!.latencyUs!.p50);
    await vi.waitFor(() => expect(stats.length).toBeGreaterThan(0));
  });

  it('loads a model from a file', async () => {
    await start();
    const path = join(tmpdir(), `drover-inference-${process.pid}.onnx`);
    await writeFile(path, spec('x').model);
    try {
      await serve({ ...spec('file'), model: path });
      push(1);
      await idle();
      expect(starts()).toEqual([1]);
    } finally {
      await rm(path);
    }
  });

  it('gives errors with their class and problems, as if there were no thread', async () => {
    await start();
    await host.addPipeline({ name: PIPE, channels: ['a', 'b'] });
    const three = sampleSignature({ window: 1 }, 3);
    const [good] = [spec('good')];
    await expect(host.prepare(PIPE, { ...good, model: new Uint8Array([1, 2, 3]) })).rejects.toThrow(InvalidGraphError);
    await expect(host.prepare(PIPE, spec('c', three))).rejects.toThrow(SignatureMismatchError);
    await expect(host.prepare(PIPE, { ...good, signature: three })).rejects.toMatchObject({
      constructor: DetectorContractError,
      code: 'detector-contract',
      problems: [{ path: 'input window' }, { path: 'output contributions' }],
    });
    await expect(host.activate(PIPE, 'good')).rejects.toThrow(UnknownDetectorError);
    await expect(host.prepare('other', good)).rejects.toThrow(UnknownPipelineError);
    expect(() => host.push('other', 0, [1, 1])).toThrow(UnknownPipelineError);
    await host.prepare(PIPE, good);
    await expect(host.prepare(PIPE, good)).rejects.toMatchObject({ code: 'detector-exists' });
    await expect(host.addPipeline({ name: PIPE, channels: [] })).rejects.toMatchObject({ code: 'pipeline-exists' });
  });

  it('says that ONNX Runtime cannot be loaded, and goes on living', async () => {
    await start({ runtimePackage: '/nowhere/onnxruntime' });
    await host.addPipeline({ name: PIPE, channels: ['a', 'b'] });
    await expect(host.prepare(PIPE, spec('v1'))).rejects.toThrow(RuntimeUnavailableError);
    await expect(host.probeProviders(['cpu'])).rejects.toThrow(RuntimeUnavailableError);
    expect(deaths).toEqual([]);
  });

  it('checks and measures a candidate while another serves', async () => {
    await start();
    await serve(spec('v1'));
    await host.prepare(PIPE, spec('v2', undefined, { gain: 2 }));
    const vectors = {
      count: 1,
      window: new Float32Array([1, 3]),
      score: new Float32Array([10]),
      contributions: new Float32Array([2, 18]),
      absoluteTolerance: 1e-4,
      relativeTolerance: 0,
    };
    expect(await host.checkGolden(PIPE, 'v2', vectors)).toMatchObject({ windows: 1 });
    const wrong = { ...vectors, score: new Float32Array([11]) };
    await expect(host.checkGolden(PIPE, 'v2', wrong)).rejects.toThrow(GoldenMismatchError);
    const measuring = host.benchmark(PIPE, 'v2', { runs: 2_000, warmupRuns: 10 });
    for (let n = 0; n < 50; n += 1) push(n);
    await idle();
    expect(starts()).toEqual(oddsBelow(50));
    const report = await measuring;
    expect(report.runs).toBe(2_000);
    expect(report.p99Us).toBeGreaterThanOrEqual(report.p50Us);
    await expect(host.benchmark(PIPE, 'v1')).rejects.toThrow(DetectorInUseError);
    await expect(host.discard(PIPE, 'v1')).rejects.toThrow(DetectorInUseError);
  });

  it('swaps detectors under load without losing or repeating a sample, there and back', async () => {
    await start();
    await serve(spec('v1'));
    await host.prepare(PIPE, spec('v2', undefined, { gain: 1.5 }));
    let n = 0;
    for (const key of ['v2', 'v1', 'v2', 'v1']) {
      for (let i = 0; i < 100; i += 1) push((n += 1));
      const swapping = host.activate(PIPE, key);
      for (let i = 0; i < 100; i += 1) push((n += 1));
      await swapping;
    }
    await idle();
    expect(starts()).toEqual(oddsBelow(n + 1));
    expect(new Set(news.map(({ key }) => key))).toEqual(new Set(['v1', 'v2']));
    await host.discard(PIPE, 'v2');
  });

  it('fills a larger window from the samples before the swap', async () => {
    await start();
    await serve(spec('v1'));
    for (let n = 0; n < 10; n += 1) push(n);
    await idle();
    await host.prepare(PIPE, spec('wide', sampleSignature({ window: 8 })));
    expect(await host.activate(PIPE, 'wide')).toMatchObject({ refilledRows: 8, neededRows: 8 });
    push(10);
    await idle();
    // Windows of eight alternating samples: mean square 41, at once.
    expect(news.at(-1)).toMatchObject({ key: 'wide', update: { change: 'opened', anomaly: { startedAt: 10_000 } } });
    expect(news.at(-1)!.update.anomaly.peakScore).toBeCloseTo(41);
  });

  it('closes what is open when the detector is replaced', async () => {
    await start();
    await serve(spec('v1'));
    push(1);
    await idle();
    await host.prepare(PIPE, spec('v2'));
    await host.activate(PIPE, 'v2');
    await idle();
    expect(news.map(({ key, update }) => [key, update.change, update.reason])).toEqual([
      ['v1', 'opened', null],
      ['v1', 'closed', 'replaced'],
    ]);
  });

  it('refuses samples that do not fit the queue, and counts them', async () => {
    await start();
    await host.addPipeline({ name: PIPE, channels: ['a', 'b'], queueRows: 8, historyRows: 8 });
    await host.prepare(PIPE, spec('v1'));
    await host.activate(PIPE, 'v1');
    const taken = Array.from({ length: 5_000 }, (_, n) => host.push(PIPE, n, [1, 1])).filter(Boolean).length;
    await idle();
    expect(taken).toBeGreaterThanOrEqual(8);
    expect(taken).toBeLessThan(5_000);
    expect(host.queueOf(PIPE)).toEqual({ pending: 0, refused: 5_000 - taken });
    expect((await host.stats(PIPE))!.samples).toBe(taken);
  });

  it('never sleeps through a sample or a request', async () => {
    // Whatever is slept through would wait for the next report.
    await start({ statsIntervalMs: 60_000 });
    await serve(spec('v1'));
    const began = performance.now();
    let n = 0;
    for (let round = 0; round < 300; round += 1) {
      for (let i = 0; i < round % 3; i += 1) push((n += 1));
      const answered = host.stats(PIPE);
      if (round % 2 === 0) await answered;
      if (round % 5 === 0) await pause(1);
      push((n += 1));
      await answered;
      await vi.waitFor(() => expect(host.queueOf(PIPE).pending).toBe(0), { timeout: 10_000, interval: 1 });
    }
    await idle();
    expect(starts()).toEqual(oddsBelow(n + 1));
    expect(performance.now() - began).toBeLessThan(30_000);
  });

  it('keeps pipelines apart', async () => {
    await start();
    await serve(spec('v1'));
    await host.addPipeline({ name: 'fan', channels: ['b', 'a'] });
    await host.prepare('fan', spec('v1'));
    await host.activate('fan', 'v1');
    push(1);
    host.push('fan', 5_000, [1, 9]);
    await idle();
    await vi.waitFor(() => expect(news).toHaveLength(2));
    const fan = news.find(({ pipeline }) => pipeline === 'fan')!.update.anomaly;
    expect([fan.startedAt, fan.contributions[0]!.channel]).toEqual([5_000, 'a']);
    await host.removePipeline('fan');
    expect(news.at(-1)).toMatchObject({ pipeline: 'fan', update: { change: 'closed', reason: 'stopped' } });
  });

  it('goes on after the process was restarted, from a snapshot', async () => {
    await start();
    await serve(spec('v1'));
    push(1);
    await idle();
    const stored = serialize((await host.snapshot(PIPE))!.state);
    await host.stop();
    const opened = news[0]!.update.anomaly;
    await start();
    await host.addPipeline({ name: PIPE, channels: ['a', 'b'] });
    await host.prepare(PIPE, spec('v1'));
    await host.activate(PIPE, 'v1', deserialize(stored) as PathState);
    push(2);
    await idle();
    expect(news.at(-1)!.update).toMatchObject({ change: 'closed', anomaly: { id: opened.id, revision: 2 } });
  });
});
