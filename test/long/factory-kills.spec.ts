import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { api } from '@drover/contracts';
import { bundledRecordings } from '@drover/recordings';
import { Testbed, eventually } from '@drover/testing';
import type { AgentProcess } from '@drover/testing';

let testbed: Testbed;
let dataset: string;
beforeAll(async () => {
  testbed = await Testbed.start();
  const { normal } = bundledRecordings();
  dataset = (await testbed.dataset('normal', await readFile(normal, 'utf8'))).id;
});
afterAll(() => testbed.stop());

/** A network that takes some seconds to train, and to measure. */
const training = (epochs: number) => ({
  family: 'dense-ae' as const,
  options: { hidden: [256, 32, 256], epochs, patience: epochs },
  source: { kind: 'datasets' as const, datasets: [dataset] },
});

const buildOf = (id: string) => testbed.client.call(api.builds.get, { params: { build: id } });

describe('kill -9 of the control plane', () => {
  it('costs a build its run, not its release: it starts over, once', async () => {
    const { id } = await testbed.build({ model: 'killed', training: training(40), variants: ['fp32', 'int8'] });
    for (let attempts = 1; attempts <= 2; attempts += 1) {
      const seen = await eventually(
        `build ${id} to be trained for the ${attempts}. time`,
        () => buildOf(id),
        (build) => build.status === 'RUNNING' && build.attempts === attempts && build.loss !== null,
        // The lease of the run that was lost has to end first.
        { timeoutMs: 120_000, alsoShow: testbed.controlPlane.tail },
      );
      expect(seen.progress).toBeLessThan(1);
      await testbed.controlPlane.kill();
      await testbed.controlPlane.start();
    }
    const done = await testbed.ended(id);
    expect(done).toMatchObject({ status: 'SUCCEEDED', attempts: 3, progress: 1, error: null });
    const release = await testbed.client.call(api.releases.get, { params: { release: done.release } });
    expect(release).toMatchObject({ status: 'READY', build: id, version: 1 });
    expect(release.variants.map(({ name }) => name)).toEqual(['fp32', 'int8']);
    const { items } = await testbed.client.call(api.releases.list, { query: { model: 'killed' } });
    expect(items).toHaveLength(1);
  });

  it('does not bring back a build that was cancelled', async () => {
    const { id } = await testbed.build({ model: 'killed', training: training(10_000) });
    await eventually(
      `build ${id} to be trained`,
      () => buildOf(id),
      ({ status, loss }) => status === 'RUNNING' && loss !== null,
      { timeoutMs: 60_000 },
    );
    await testbed.client.call(api.builds.cancel, { params: { build: id } });
    await testbed.controlPlane.kill();
    await testbed.controlPlane.start();
    const next = await testbed.built({
      model: 'killed',
      training: { family: 'pca', source: { kind: 'datasets', datasets: [dataset] } },
    });
    expect(next.version).toBe(3);
    expect(await buildOf(id)).toMatchObject({ status: 'CANCELED', attempts: 1 });
  });
});

describe('kill -9 of an agent that measures candidates', () => {
  /** What the agent has noted down before it loads a candidate. */
  async function triedBy(agent: AgentProcess): Promise<string[]> {
    const { pipelines } = JSON.parse(await readFile(join(agent.dataDir, 'journal.json'), 'utf8')) as {
      pipelines: Record<string, { attempt?: { phase: string; tries?: Record<string, number> } | null }>;
    };
    const { phase, tries } = pipelines['pump']?.attempt ?? {};
    return phase === 'verified' ? Object.keys(tries ?? {}) : [];
  }

  it('has them measured again: the rollout succeeds with one that was chosen by its figures', async () => {
    const pump = { type: 'csv', path: bundledRecordings().faults[0]!, speed: 60, loop: true, time: 'recorded' };
    const agent = await testbed.agent({ name: 'pump', config: { profile: 'pi-4', sensors: { pump } } });
    const device = await testbed.online(agent);
    const release = await testbed.built({
      model: 'measured',
      training: training(20),
      variants: ['fp32', 'int8', 'sparse', 'pruned'],
      contract: { sparse: { maxVusPrLoss: 1 }, pruned: { maxVusPrLoss: 1 }, int8: { maxVusPrLoss: 1 } },
    });
    const rollout = await testbed.rollout({
      pipeline: 'pump',
      release: release.id,
      target: { kind: 'devices', devices: [device] },
    });
    const cut = new Set<string>();
    for (let times = 0; times < 2; times += 1) {
      const tried = await eventually(
        'the agent to measure a candidate',
        () => triedBy(agent),
        (names) => names.length > 0,
        { everyMs: 1, timeoutMs: 60_000, alsoShow: agent.tail },
      );
      await agent.kill();
      for (const name of tried) cut.add(name);
      await agent.start();
    }
    expect(cut.size).toBeGreaterThan(0);
    await testbed.waitForRollout(rollout.id, 'SUCCEEDED', 120_000);
    const benchmarks = await eventually(
      'a benchmark of each variant',
      async () => (await testbed.client.call(api.benchmarks.list, { query: { release: release.id } })).items,
      (seen) => seen.length >= release.variants.length,
      { alsoShow: agent.tail },
    );
    expect(benchmarks.map(({ variant }) => variant).toSorted()).toEqual(
      release.variants.map(({ name }) => name).toSorted(),
    );
    expect(benchmarks.every(({ runs }) => runs > 0)).toBe(true);
    const chosen = benchmarks.filter((benchmark) => benchmark.chosen);
    expect(chosen).toHaveLength(1);
    const twin = await eventually(
      `${device} to report the release`,
      () => testbed.client.call(api.devices.twin, { params: { device } }),
      ({ reported }) => reported?.pipelines['pump']?.release === release.id,
    );
    expect(twin.reported!.pipelines['pump']).toMatchObject({ variant: chosen[0]!.variant, rollout: rollout.id });
  });
});
