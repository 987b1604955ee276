import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InvalidInputError } from '@drover/runtime';
import { Config } from '../../config/config.ts';
import { testDatabase } from '../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../platform/database/test-database.fixture.ts';
import { BenchmarkRepository } from '../models/benchmarks/benchmark.repository.ts';
import { BenchmarkService } from '../models/benchmarks/benchmark.service.ts';
import { CandidateService } from '../models/candidates/candidate.service.ts';
import { ReleaseRepository } from '../models/releases/release.repository.ts';
import { rolloutsOn } from './rollouts.fixture.ts';
import type { RolloutsBench } from './rollouts.fixture.ts';

/** Which variants devices are offered: never a refused one; the pinned one; what their tier has learned. */

let server: TestDatabase;
let bench: RolloutsBench;
beforeAll(async () => {
  server = await testDatabase();
  bench = await rolloutsOn(server, { DROVER_REMEASURE_SHARE: '0' });
});
afterAll(async () => {
  await bench.stop();
  await server.stop();
});

const REFUSAL = { rule: 'vus-pr-loss', value: 0.2, limit: 0.01, message: 'loses 0.200 VUS-PR, allowed are 0.010' };

/** fp32, int8 (which loses a little) and a refused int8-dynamic. */
async function release(): Promise<string> {
  const id = await bench.release(['fp32', 'int8', 'int8-dynamic']);
  const of = (name: string) => ({ fleetId: 'default', releaseId: id, name });
  await server.database.prisma.variant.updateMany({
    where: of('int8-dynamic'),
    data: { offered: false, refusals: [REFUSAL] },
  });
  await server.database.prisma.variant.updateMany({
    where: of('int8'),
    data: { document: { policy: {}, metrics: { vusPrLoss: 0.008 } } },
  });
  return id;
}

async function candidatesOf(device: string, input: { release: string; variant?: string; accuracyBudget?: number }) {
  const { id } = await bench.create({ ...input, devices: [device] });
  await bench.drive(id);
  return (await bench.desired(device))?.candidates;
}

async function problems(input: Parameters<RolloutsBench['create']>[0]) {
  const error = await bench.create(input).then(
    () => undefined,
    (thrown: unknown) => thrown as InvalidInputError,
  );
  return error?.problems;
}

let seq = 0;
/** What a device says that it measured. */
async function measured(device: string, of: string, p50Us: Record<string, number>, chosen: string): Promise<void> {
  const { id: boot } = await server.database.prisma.boot.create({
    data: { fleetId: 'default', deviceId: device, bootId: `boot-${(seq += 1)}` },
  });
  await server.database.prisma.benchmark.createMany({
    data: Object.entries(p50Us).map(([variant, us], i) => ({
      bootId: boot,
      seq: i,
      fleetId: 'default',
      deviceId: device,
      pipeline: 'main',
      releaseId: of,
      variant,
      variantDigest: 'a'.repeat(64),
      provider: 'cpu',
      runs: 100,
      p50Us: us,
      p95Us: us * 2,
      p99Us: us * 3,
      chosen: variant === chosen,
      at: new Date(),
    })),
  });
}

describe('a rollout', () => {
  it('never offers a variant that the contract refuses', async () => {
    const device = await bench.enter();
    expect(await candidatesOf(device, { release: await release() })).toEqual(['int8', 'fp32']);
  });

  it('offers the pinned variant alone', async () => {
    const device = await bench.enter();
    expect(await candidatesOf(device, { release: await release(), variant: 'fp32' })).toEqual(['fp32']);
  });

  it('that pins a refused or unknown variant is refused, naming the field and why', async () => {
    const id = await release();
    const devices = [await bench.enter()];
    expect(await problems({ release: id, devices, variant: 'int8-dynamic' })).toEqual([
      { path: 'variant', message: expect.stringContaining(REFUSAL.message) },
    ]);
    expect(await problems({ release: id, devices, variant: 'nothing' })).toEqual([
      { path: 'variant', message: expect.stringContaining('it has fp32, int8, int8-dynamic') },
    ]);
  });

  it('keeps its accuracy budget, and is refused where it leaves a tier nothing', async () => {
    const device = await bench.enter();
    const id = await release();
    expect(await candidatesOf(device, { release: id, accuracyBudget: 0.001 })).toEqual(['fp32']);
    expect(await candidatesOf(device, { release: id, accuracyBudget: 0.01 })).toEqual(['int8', 'fp32']);
    const pinned = await problems({ release: id, devices: [device], variant: 'int8', accuracyBudget: 0.001 });
    expect(pinned).toEqual([{ path: 'variant', message: expect.stringContaining('pi-4') }]);
    await server.database.prisma.variant.deleteMany({ where: { releaseId: id, name: 'fp32' } });
    expect(await problems({ release: id, devices: [device], accuracyBudget: 0.001 })).toEqual([
      { path: 'accuracyBudget', message: expect.stringContaining('pi-4') },
    ]);
  });
});

describe('a tier', () => {
  const TIMES = { fp32: 200, int8: 90 };

  it('learns from two devices that measured everything and agree; the next one downloads one variant', async () => {
    const id = await release();
    const [first, second, third, fourth] = await bench.many(4);
    expect(await candidatesOf(first!, { release: id })).toEqual(['int8', 'fp32']);
    await measured(first!, id, TIMES, 'int8');
    expect(await candidatesOf(second!, { release: id })).toEqual(['int8', 'fp32']);
    await measured(second!, id, { fp32: 300, int8: 100 }, 'int8');
    expect(await candidatesOf(third!, { release: id })).toEqual(['int8']);
    await measured(third!, id, { int8: 95 }, 'int8');

    const choices = await new BenchmarkService(
      new BenchmarkRepository(server.database),
      new ReleaseRepository(server.database),
    ).choices('default', id);
    expect(choices.items).toEqual([
      {
        tier: 'pi-4',
        learned: 'int8',
        variants: [
          { variant: 'fp32', devices: 2, chosenBy: 0, p50Us: 250, p99Us: 750 },
          { variant: 'int8', devices: 3, chosenBy: 3, p50Us: 95, p99Us: 285 },
        ],
      },
    ]);
    // What was learned of all variants says nothing of fewer.
    expect(await candidatesOf(fourth!, { release: id, accuracyBudget: 0.001 })).toEqual(['fp32']);
    expect(await candidatesOf(fourth!, { release: id, variant: 'fp32' })).toEqual(['fp32']);
  });

  it('is asked again by a sample of its devices', async () => {
    const id = await release();
    const [first, second, third] = await bench.many(3);
    for (const device of [first!, second!]) await measured(device, id, TIMES, 'int8');
    const offer = (share: string) => {
      const { database } = server;
      const config = new Config({ DROVER_REMEASURE_SHARE: share });
      const service = new CandidateService(config, new ReleaseRepository(database), new BenchmarkRepository(database));
      const device = { device: third!, tier: 'pi-4', memoryBytes: 4 * 2 ** 30 };
      return database.transaction((tx) => service.offer(tx, 'default', id, {}, [device]));
    };
    expect(await offer('0')).toEqual([['int8']]);
    expect(await offer('1')).toEqual([['int8', 'fp32']]);
  });

  it('does not learn from another tier, another release or another fleet', async () => {
    const [id, other] = [await release(), await release()];
    const [first, second, third] = await bench.many(3);
    await measured(first!, id, TIMES, 'int8');
    await measured(second!, other, TIMES, 'int8');
    await server.database.prisma.device.update({ where: { id: second! }, data: { tierOverride: 'pi-5' } });
    await measured(second!, id, TIMES, 'int8');
    expect(await candidatesOf(third!, { release: id })).toEqual(['int8', 'fp32']);
  });
});

describe('benchmarks', () => {
  it('are listed newest first, page by page, by what is asked for', async () => {
    const id = await release();
    const device = await bench.enter();
    await measured(device, id, { fp32: 1, int8: 2, extra: 3 }, 'fp32');
    const repository = new BenchmarkRepository(server.database);
    const first = await repository.list('default', { release: id, limit: 2 });
    expect(first.items.map(({ variant, chosen }) => [variant, chosen])).toEqual([
      ['extra', false],
      ['int8', false],
    ]);
    const rest = await repository.list('default', { release: id, limit: 2, cursor: first.nextCursor! });
    expect(rest).toMatchObject({ items: [{ variant: 'fp32', chosen: true, simulated: false }], nextCursor: null });
    for (const none of [{ tier: 'mcu' as const }, { device: 'dev_none' }, { variant: 'nothing' }])
      expect((await repository.list('default', { release: id, limit: 2, ...none })).items).toEqual([]);
    expect((await repository.list('other', { release: id, limit: 2 })).items).toEqual([]);
  });
});
