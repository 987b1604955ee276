import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InvalidInputError } from '@drover/runtime';
import { PI_4 } from '../devices/devices.fixture.ts';
import { testDatabase } from '../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../platform/database/test-database.fixture.ts';
import { rolloutsOn } from './rollouts.fixture.ts';
import type { RolloutsBench } from './rollouts.fixture.ts';

let server: TestDatabase;
let bench: RolloutsBench;
beforeAll(async () => {
  server = await testDatabase();
  bench = await rolloutsOn(server);
});
afterAll(async () => {
  await bench.stop();
  await server.stop();
});

const ZERO = { ...PI_4, board: 'Raspberry Pi Zero 2 W Rev 1.0', memoryBytes: 512 * 2 ** 20 };

/** The problems that a creation is refused for; nothing of it may stay behind. */
async function problems(input: Parameters<RolloutsBench['create']>[0]): Promise<{ path: string; message: string }[]> {
  const before = await server.database.prisma.rollout.count();
  const error = (await bench.create(input).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )) as InvalidInputError | undefined;
  expect(error?.code).toBe('invalid-input');
  expect(await server.database.prisma.rollout.count()).toBe(before);
  return [...error!.problems];
}

describe('a rollout that cannot work is refused', () => {
  it('naming every device that has not the pipeline, and the tier that the release has nothing for', async () => {
    const release = await bench.release(['int8']);
    const good = await bench.enter();
    const without = await bench.enter('default', PI_4, ['other']);
    const stranded = await bench.enter();
    await server.database.prisma.device.update({
      where: { id: stranded },
      data: { tierOverride: 'mcu', name: 'tiny' },
    });
    const none = await bench.release(['fp32']);
    const found = await problems({ release: none, devices: [good, without, stranded] });
    expect(found).toEqual([
      { path: 'target.devices', message: `${without} has no pipeline "main"` },
      { path: 'release', message: 'has no variant for the tier mcu (tiny)' },
    ]);
    await expect(bench.create({ release, devices: [good] })).resolves.toMatchObject({ status: 'RUNNING', total: 1 });
  });

  it('naming devices that there are not', async () => {
    const release = await bench.release();
    const found = await problems({ release, devices: ['dev_a', await bench.enter(), 'dev_b'] });
    expect(found.map((problem) => problem.path)).toEqual(['target.devices.0', 'target.devices.2']);
  });

  it('because the release is unknown or not READY', async () => {
    const devices = await bench.many(1);
    expect(await problems({ release: 'rel_none', devices })).toEqual([
      { path: 'release', message: 'there is no such release' },
    ]);
    const release = await bench.release();
    await server.database.prisma.release.updateMany({ where: { id: release }, data: { status: 'BUILDING' } });
    expect(await problems({ release, devices })).toEqual([{ path: 'release', message: 'is BUILDING' }]);
  });

  it('because nobody is meant', async () => {
    const release = await bench.release();
    const target = { kind: 'filter', filter: { tags: { site: 'nowhere' } } } as const;
    expect(await problems({ release, target })).toEqual([
      { path: 'target', message: 'no active device with a pipeline "main" is targeted' },
    ]);
    expect(await problems({ release, target: { kind: 'group', group: 'none' } })).toEqual([
      { path: 'target.group', message: 'there is no group "none"' },
    ]);
  });

  it('because its waves are more than everything', async () => {
    const release = await bench.release();
    const waves = [
      { kind: 'percent', percent: 80 },
      { kind: 'percent', percent: 30 },
    ] as const;
    await expect(bench.create({ release, devices: ['dev_a'], waves: [...waves] })).rejects.toThrow(/110 %/);
  });
});

describe('a rollout to a group or filter', () => {
  it('means those with the pipeline, of every tier, each once, and leaves out others and removed ones', async () => {
    const release = await bench.release();
    const group = await bench.groups.create('default', { name: 'north', devices: [] } as never);
    const pi = await bench.enter();
    const zero = await bench.enter('default', ZERO);
    const without = await bench.enter('default', PI_4, ['other']);
    const removed = await bench.enter();
    for (const device of [pi, zero, without, removed])
      await server.database.prisma.groupMember.create({
        data: { fleetId: 'default', groupId: group.id, deviceId: device },
      });
    await server.database.transaction((tx) => bench.lifecycle.decommission(tx, 'default', removed));
    const { id } = await bench.create({ release, target: { kind: 'group', group: group.id } });
    await bench.drive(id);
    const executions = await bench.executionsOf(id);
    expect(executions.map((execution) => execution.device).toSorted()).toEqual([pi, zero].toSorted());
    expect((await bench.desired(zero))!.candidates).toEqual(['int8', 'fp32']);
  });
});
