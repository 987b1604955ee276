import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deserialize } from 'node:v8';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiProblemError } from '@drover/client';
import { api } from '@drover/contracts';
import type { Build, Release } from '@drover/contracts';
import { bundledRecordings, loadRecording } from '@drover/recordings';
import { Testbed, eventually, quickRecording } from '@drover/testing';
import type { AgentProcess } from '@drover/testing';
import { foreignDetector, foreignSignature } from './foreign-detector.fixture.ts';

/** The machine is sampled so often, and its recordings were taken at 1 Hz: a pass of 900 rows takes nine seconds. */
const RATE_HZ = 100;
/** In the recording that the agents replay, rows before this one are normal. */
const FIRST_FAULT_MS = (310 * 1_000) / RATE_HZ;
/** One channel of it, for detectors of single series. */
const CHANNEL = 'vibration_x_mm_s';

const { normal, faults } = bundledRecordings();

let testbed: Testbed;
let agent: AgentProcess;
let device: string;
/** Datasets: normal operation, the same of one channel, labelled faults. */
let normalData: string;
let seriesData: string;
let faultData: string;

beforeAll(async () => {
  testbed = await Testbed.start();
  const series = join(testbed.folder, 'series.csv');
  await writeFile(series, await quickRecording(faults[0]!, { rateHz: 1, columns: [CHANNEL] }));
  const replay = { type: 'csv', speed: RATE_HZ, loop: true, time: 'now' };
  agent = await testbed.agent({
    name: 'pump',
    config: {
      profile: 'pi-4',
      sensors: { machine: { ...replay, path: faults[0]! }, bearing: { ...replay, path: series } },
      pipelines: {
        pump: { sensor: 'machine' },
        drifting: { sensor: 'machine' },
        foreign: { sensor: 'machine' },
        bearing: { sensor: 'bearing' },
      },
    },
  });
  device = await testbed.online(agent);
});
afterAll(() => testbed.stop());

/** Rolls a release out to the device and waits until it runs. */
async function runs(pipeline: string, release: Release, variant?: string): Promise<string> {
  const target = { kind: 'devices' as const, devices: [device] };
  const rollout = await testbed.rollout({
    pipeline,
    release: release.id,
    target,
    ...(variant === undefined ? {} : { variant }),
  });
  await testbed.waitForRollout(rollout.id, 'SUCCEEDED');
  return rollout.id;
}

/** What a pipeline of the device runs, when its twin says that it is this release. */
async function reportedOf(pipeline: string, { id }: Release, variant?: string) {
  const twin = await eventually(
    `${pipeline} to report ${id} ${variant ?? ''}`,
    () => testbed.client.call(api.devices.twin, { params: { device } }),
    ({ reported }) =>
      reported?.pipelines[pipeline]?.release === id &&
      (variant === undefined || reported.pipelines[pipeline].variant === variant),
    { alsoShow: agent.tail },
  );
  return twin.reported!.pipelines[pipeline]!;
}

async function anomaliesOf(pipeline: string, { id }: Release) {
  const query = { device, pipeline, release: id, limit: 100 };
  return (await testbed.client.call(api.anomalies.list, { query })).items;
}

/** Waits for an anomaly of a pipeline that has ended. */
async function closedAnomaly(pipeline: string, release: Release, sinceMs = 0) {
  const items = await eventually(
    `an anomaly of ${pipeline}`,
    () => anomaliesOf(pipeline, release),
    (seen) => seen.some(({ state, startedAt }) => state === 'closed' && startedAt >= sinceMs),
    { timeoutMs: 60_000, alsoShow: agent.tail },
  );
  return items.find(({ state, startedAt }) => state === 'closed' && startedAt >= sinceMs)!;
}

const params = (release: Release) => ({ params: { release: release.id } });

describe('a dataset', () => {
  it('is validated, and says what is in it', async () => {
    const { client } = testbed;
    const { digest } = await client.upload(Buffer.from(await quickRecording(normal, { rateHz: RATE_HZ })), 'text/csv');
    const files = [{ name: 'normal.csv', artifact: digest }];
    const created = await client.call(api.datasets.create, { body: { name: 'normal operation', files } });
    expect(created).toMatchObject({ status: 'VALIDATING', report: null });
    const ready = await testbed.validated(created.id);
    expect(ready).toMatchObject({ status: 'READY', error: null, capture: null });
    expect(ready.report).toMatchObject({ rows: 2_000, problems: [] });
    const [report] = ready.report!.files;
    expect(report).toMatchObject({
      name: 'normal.csv',
      rows: 2_000,
      gaps: { count: 0 },
      duplicateTimes: 0,
      labels: ['anomaly'],
      labelShare: 0,
    });
    expect(report!.rateHz).toBeCloseTo(RATE_HZ, 6);
    expect(report!.channels.map(({ constant }) => constant)).toEqual(Array.from({ length: 6 }, () => false));
    normalData = ready.id;

    const labelled = await testbed.dataset('faults', await quickRecording(faults[1]!, { rateHz: RATE_HZ }));
    expect(labelled.report!.files[0]!.labelShare).toBeGreaterThan(0.2);
    faultData = labelled.id;
    const series = await testbed.dataset(
      'bearing',
      await quickRecording(normal, { rateHz: RATE_HZ, columns: [CHANNEL] }),
    );
    expect(series.report!.files[0]!.channels.map(({ name }) => name)).toEqual([CHANNEL]);
    seriesData = series.id;
  });

  it('is INVALID where it is broken, says where, and is not trained on', async () => {
    const good = await quickRecording(normal, { rateHz: RATE_HZ });
    const lines = good.split('\n');
    lines[500] = lines[500]!.replace(/,[^,]*,/, ',a lot,');
    const broken = await testbed.dataset('broken', lines.join('\n'));
    expect(broken).toMatchObject({
      status: 'INVALID',
      error: { message: expect.stringContaining('row 500 ("a lot")') },
    });
    const source = { kind: 'datasets' as const, datasets: [broken.id] };
    const refused = await testbed.build({ model: 'never', training: { source } }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ApiProblemError);
    expect((refused as ApiProblemError).problem).toMatchObject({
      status: 400,
      problems: [{ path: 'training.source.datasets.0', message: expect.stringContaining('is INVALID') }],
    });
  });
});

describe('a neural network', () => {
  let release: Release;
  let canceled: Build;
  const refused = 'int4';

  it('is trained and compressed, and says how far it is', async () => {
    const { id } = await testbed.build({
      model: 'pump',
      training: {
        family: 'dense-ae',
        options: { hidden: [48, 8, 48], epochs: 30, maxWindows: 800 },
        source: { kind: 'datasets', datasets: [normalData] },
      },
      evaluation: { datasets: [faultData] },
      variants: ['fp32', 'int8', 'int4', 'sparse', 'pruned'],
      // The first nobody keeps with four bits per weight; the second anybody keeps.
      contract: {
        int4: { maxVusPrLoss: 0, minAgreement: 1 },
        sparse: { maxVusPrLoss: 0.2 },
        pruned: { maxVusPrLoss: 0.2 },
      },
    });
    const seen: Build[] = [];
    const done = await eventually(
      `build ${id} to end`,
      () => testbed.client.call(api.builds.get, { params: { build: id } }),
      (build) => seen.push(build) > 0 && build.status !== 'QUEUED' && build.status !== 'RUNNING',
      { timeoutMs: 90_000, alsoShow: testbed.controlPlane.tail },
    );
    expect(done).toMatchObject({ status: 'SUCCEEDED', progress: 1, attempts: 1, error: null });
    const progress = seen.map((build) => build.progress);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    expect(progress.some((value) => value > 0 && value < 1)).toBe(true);
    const losses = seen.filter(({ phase, loss }) => phase === 'training' && loss !== null);
    expect(losses.length).toBeGreaterThan(0);

    release = await testbed.client.call(api.releases.get, { params: { release: done.release } });
    expect(release).toMatchObject({ status: 'READY', family: 'dense-ae', build: id });
    const { items } = await testbed.client.call(api.releases.variants, params(release));
    expect(items.map(({ name }) => name).toSorted()).toEqual(
      ['fp32', 'int4', 'int8', 'pruned-50', 'pruned-50-int8', 'sparse-50'].toSorted(),
    );
    expect(items.filter(({ offered }) => !offered).map(({ name }) => name)).toEqual([refused]);
    const [fp32, pruned] = ['fp32', 'pruned-50'].map((name) => items.find((variant) => variant.name === name)!);
    expect(pruned!.cost!.parameters).toBeLessThan(0.6 * fp32!.cost!.parameters);
    const card = await testbed.client.call(api.releases.card, params(release));
    expect(card.release).toMatchObject({ id: release.id });
  });

  it('is not trained to the end where its build is cancelled', async () => {
    const { id } = await testbed.build({
      model: 'pump',
      training: {
        family: 'dense-ae',
        options: { hidden: [256, 16, 256], epochs: 10_000, patience: 10_000 },
        source: { kind: 'datasets', datasets: [normalData] },
      },
    });
    await eventually(
      `build ${id} to be trained`,
      () => testbed.client.call(api.builds.get, { params: { build: id } }),
      ({ status, loss }) => status === 'RUNNING' && loss !== null,
      { alsoShow: testbed.controlPlane.tail },
    );
    canceled = await testbed.client.call(api.builds.cancel, { params: { build: id } });
    expect(canceled.status).toBe('CANCELED');
    const made = await testbed.client.call(api.releases.get, { params: { release: canceled.release } });
    expect(made).toMatchObject({ status: 'CANCELED', variants: [] });
  });

  it('reaches a device, which measures its candidates and takes one', async () => {
    const rollout = await runs('pump', release);
    const { payload } = await testbed.client.call(api.releases.manifest, params(release));
    const offered = payload.variants.map(({ name }) => name);
    expect(offered).not.toContain(refused);
    const sparse = payload.variants.find(({ name }) => name === 'sparse-50')!;
    expect(sparse.artifacts[0]).toMatchObject({ encoding: 'zstd' });
    expect(sparse.artifacts[0]!.sizeBytes).toBeLessThan(0.8 * sparse.artifacts[0]!.decodedSizeBytes!);

    const benchmarks = await eventually(
      'a benchmark of each candidate',
      async () => (await testbed.client.call(api.benchmarks.list, { query: { device, release: release.id } })).items,
      (seen) => seen.length >= offered.length,
      { alsoShow: agent.tail },
    );
    expect(benchmarks.map(({ variant }) => variant).toSorted()).toEqual(offered.toSorted());
    for (const benchmark of benchmarks) {
      expect(benchmark).toMatchObject({ tier: 'pi-4', simulated: true, pipeline: 'pump', provider: 'cpu' });
      expect(benchmark.runs).toBeGreaterThan(0);
      expect(benchmark.p50Us).toBeGreaterThan(0);
      expect(benchmark.p99Us).toBeGreaterThanOrEqual(benchmark.p50Us);
      expect(benchmark.memoryBytes).toBeGreaterThan(0);
      expect(benchmark.reason).not.toBeNull();
    }
    const chosen = benchmarks.filter((benchmark) => benchmark.chosen).map(({ variant }) => variant);
    expect(chosen).toHaveLength(1);
    expect(await reportedOf('pump', release)).toMatchObject({ variant: chosen[0], rollout });
    const { items: choices } = await testbed.client.call(api.releases.choices, params(release));
    const [choice] = choices;
    expect(choices.map(({ tier }) => tier)).toEqual(['pi-4']);
    // One device proves nothing of its tier.
    expect(choice).toMatchObject({ learned: null });
    expect(choice!.variants.filter(({ chosenBy }) => chosenBy > 0).map(({ variant }) => variant)).toEqual(chosen);
  });

  it('is run as the pinned variant, even where that is not what the device has chosen', async () => {
    const { variant: before } = await reportedOf('pump', release);
    const pinned = before === 'sparse-50' ? 'fp32' : 'sparse-50';
    const rollout = await runs('pump', release, pinned);
    expect(await reportedOf('pump', release, pinned)).toMatchObject({ variant: pinned, rollout });
  });

  it('is not run as a variant that the contract refuses: it can be neither pinned nor downloaded', async () => {
    const raw = await testbed.rawDevice(undefined, ['pump']);
    const target = { kind: 'devices' as const, devices: [raw.id] };
    const answer = await testbed
      .rollout({ pipeline: 'pump', release: release.id, target, variant: refused })
      .catch((error: unknown) => error);
    expect(answer).toBeInstanceOf(ApiProblemError);
    expect((answer as ApiProblemError).problem).toMatchObject({
      status: 400,
      problems: [{ path: 'variant', message: expect.stringContaining('is never offered') }],
    });

    const connection = await raw.connect();
    await connection.subscribe(raw.topics.allChunks);
    const { id: rollout } = await testbed.rollout({ pipeline: 'pump', release: release.id, target });
    const { items } = await testbed.client.call(api.releases.variants, params(release));
    const bytesOf = async (name: string): Promise<number> => {
      const { digest } = items.find((variant) => variant.name === name)!;
      const topic = raw.topics.chunk(digest, 0);
      await connection.publish(raw.topics.get('chunk'), { digest, offset: 0, length: 1_000 });
      const heard = await eventually(
        `a chunk of ${name}`,
        () => connection.heard.findLast((message) => message.topic === topic),
        (message) => message !== undefined,
      );
      return heard!.payload.length;
    };
    await eventually(
      'what is offered to be downloaded',
      () => bytesOf('int8'),
      (bytes) => bytes === 1_000,
    );
    expect(await bytesOf(refused)).toBe(0);
    await testbed.client.call(api.rollouts.abort, { params: { rollout } });
  });

  it('stays cancelled where it was', async () => {
    const { id, release: ended } = canceled;
    const build = await testbed.client.call(api.builds.get, { params: { build: id } });
    expect(build).toMatchObject({ status: 'CANCELED', attempts: 1 });
    const made = await testbed.client.call(api.releases.get, { params: { release: ended } });
    expect(made).toMatchObject({ status: 'CANCELED', manifestDigest: null });
  });
});

describe('a capture', () => {
  it('becomes a dataset of every sample, and a model is made of it', async () => {
    const { client } = testbed;
    const { id } = await client.call(api.captures.create, {
      body: { name: 'a while', devices: [device], pipeline: 'pump', durationMs: 4_000 },
    });
    const capture = await eventually(
      `capture ${id} to end`,
      () => client.call(api.captures.get, { params: { capture: id } }),
      ({ status }) => status !== 'RUNNING',
      { alsoShow: agent.tail },
    );
    const [answer] = capture.devices;
    expect(capture).toMatchObject({ status: 'COMPLETED', devices: [{ device, status: 'SUCCEEDED' }] });
    expect(answer!.message).toBe(`${answer!.rows} rows`);
    expect(answer!.rows).toBeGreaterThan(2 * RATE_HZ);
    const dataset = await testbed.validated(capture.dataset!);
    expect(dataset).toMatchObject({ status: 'READY', capture: id, report: { rows: answer!.rows } });
    expect(dataset.report!.files[0]!.rateHz).toBeCloseTo(RATE_HZ, 0);
    const release = await testbed.built({
      model: 'captured',
      training: { family: 'pca', source: { kind: 'datasets', datasets: [dataset.id] } },
    });
    const { payload } = await client.call(api.releases.manifest, params(release));
    expect(payload.signature.channels).toHaveLength(6);
    expect(payload.signature.rateHz).toBeCloseTo(RATE_HZ, 0);
  });
});

describe('a graph that somebody else has made', () => {
  const importOf = async (score: string) => {
    const file = join(testbed.folder, 'normal.csv');
    await writeFile(file, await quickRecording(normal, { rateHz: RATE_HZ }));
    const detector = { normal: await loadRecording(file), rateHz: RATE_HZ, score };
    const { digest } = await testbed.client.upload(Buffer.from(foreignDetector(detector)), 'application/octet-stream');
    return {
      model: 'foreign',
      import: {
        artifact: digest,
        signature: foreignSignature(detector),
        calibration: { kind: 'datasets' as const, datasets: [normalData] },
      },
    };
  };

  it('is a release like any other', async () => {
    const release = await testbed.built({ ...(await importOf('score')), variants: ['fp32'] });
    expect(release.family).toBe('imported');
    await runs('foreign', release);
    await reportedOf('foreign', release);
    const { peakScore, threshold } = await closedAnomaly('foreign', release);
    expect(peakScore).toBeGreaterThan(threshold);
  });

  it('is refused with what is wrong with it where it is no detector', async () => {
    const { id } = await testbed.build(await importOf('distance'));
    expect(await testbed.ended(id)).toMatchObject({
      status: 'FAILED',
      error: { code: 'detector-contract', message: 'The graph is no detector: output score is missing' },
    });
  });
});

describe('detectors that remember', () => {
  interface Memory {
    readonly decided: {
      readonly lastTimeMs: number;
      readonly policy: { readonly kind: string; readonly rows?: number };
    };
    readonly detector: Readonly<Record<string, Float32Array>>;
  }

  /** What the agent has stored of a pipeline. */
  async function memoryOf(pipeline: string): Promise<Memory> {
    const read = async (suffix: string): Promise<unknown> =>
      (deserialize(await readFile(join(agent.dataDir, 'state', `${pipeline}.${suffix}`))) as { state: unknown }).state;
    return { decided: await read('state'), detector: await read('detector').catch(() => ({})) } as Memory;
  }

  it('find anomalies, and go on after a restart where they were', async () => {
    const [drifting, bearing] = await Promise.all([
      testbed.built({
        model: 'drifting',
        training: { family: 'adaptive', source: { kind: 'datasets', datasets: [normalData] } },
        variants: ['fp32'],
      }),
      testbed.built({
        model: 'bearing',
        training: { family: 'value', source: { kind: 'datasets', datasets: [seriesData] } },
        variants: ['fp32'],
      }),
    ]);
    const pipelines = { drifting, bearing };
    await Promise.all([runs('drifting', drifting), runs('bearing', bearing)]);
    for (const [pipeline, release] of Object.entries(pipelines)) {
      const { payload } = await testbed.client.call(api.releases.manifest, params(release));
      const { policy } = payload.variants[0]!;
      expect(policy.kind).toBe(pipeline === 'bearing' ? 'tail' : 'threshold');
      expect((await closedAnomaly(pipeline, release)).peakScore).toBeGreaterThan(policy.threshold);
    }

    await agent.stop();
    const before = { drifting: await memoryOf('drifting'), bearing: await memoryOf('bearing') };
    expect(Object.keys(before.drifting.detector).length).toBeGreaterThan(0);
    expect(before.bearing.decided.policy.rows).toBeGreaterThan(0);
    const restartedMs = Date.now();
    await agent.start();
    await testbed.online(agent);
    for (const [pipeline, release] of Object.entries(pipelines)) {
      const first = (await closedAnomaly(pipeline, release, restartedMs), await anomaliesOf(pipeline, release))
        .filter(({ startedAt }) => startedAt >= restartedMs)
        .toSorted((a, b) => a.startedAt - b.startedAt)[0]!;
      // The recording begins anew with the agent: before its first fault nothing is wrong, and nothing is said.
      expect(first.startedAt - restartedMs).toBeGreaterThan(FIRST_FAULT_MS);
    }
    const after = await eventually(
      'the memory to be stored again',
      async () => ({ drifting: await memoryOf('drifting'), bearing: await memoryOf('bearing') }),
      (seen) => Object.values(seen).every(({ decided }) => decided.lastTimeMs > restartedMs),
    );
    // A history that had begun anew would be shorter than the one before.
    expect(after.bearing.decided.policy.rows).toBeGreaterThan(before.bearing.decided.policy.rows!);
  });
});
