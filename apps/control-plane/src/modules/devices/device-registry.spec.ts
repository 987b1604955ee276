import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase } from '../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../platform/database/test-database.fixture.ts';
import { PI_4, devicesOn } from './devices.fixture.ts';

let test: TestDatabase;
let devices: ReturnType<typeof devicesOn>;
beforeAll(async () => {
  test = await testDatabase();
  devices = devicesOn(test.database);
});
afterAll(() => test.stop());

describe('a device in the registry', () => {
  it('enters with a server-issued id, the tier of its hardware, an empty twin and an event', async () => {
    const id = await devices.enter();
    const device = await devices.registry.get('default', id);
    expect(device).toMatchObject({ id, name: id, tier: 'pi-4', tierOverridden: false, epoch: 1, state: 'active' });
    expect(await devices.twins.get('default', id)).toMatchObject({ version: 0, epoch: 1, desired: { pipelines: {} } });
    expect(await devices.eventsOf(id)).toMatchObject([
      { fleet: 'default', type: 'device.enrolled', data: { tier: 'pi-4', epoch: 1, replaced: false } },
    ]);
  });

  it('keeps an overridden tier through a new profile, and gets the derived one back when told so', async () => {
    const id = await devices.enter();
    await devices.registry.update('default', id, { tier: 'jetson-orin' });
    const pi5 = { ...PI_4, board: 'Raspberry Pi 5 Model B' };
    await test.database.transaction((tx) => devices.lifecycle.profileChanged(tx, 'default', id, pi5));
    expect(await devices.registry.get('default', id)).toMatchObject({ tier: 'jetson-orin', tierOverridden: true });
    const derived = await devices.registry.update('default', id, { tier: null });
    expect(derived).toMatchObject({ tier: 'pi-5', tierOverridden: false });
  });

  it('takes a new name and tags, and leaves what is not given', async () => {
    const id = await devices.enter();
    await devices.registry.update('default', id, { name: 'Pump 7', tags: { hall: '2' } });
    const device = await devices.registry.update('default', id, { tags: {} });
    expect(device).toMatchObject({ name: 'Pump 7', tags: {}, tier: 'pi-4' });
    expect((await devices.eventsOf(id)).map((event) => event.data['changed'])).toEqual([
      undefined,
      ['name', 'tags'],
      ['tags'],
    ]);
  });

  it('tells of a profile only when it is another one', async () => {
    const id = await devices.enter();
    await test.database.transaction((tx) => devices.lifecycle.profileChanged(tx, 'default', id, { ...PI_4 }));
    expect(await devices.eventsOf(id)).toHaveLength(1);
  });

  it('is unknown in another fleet, and so is one with an impossible id', async () => {
    const id = await devices.enter();
    await expect(devices.registry.get('other', id)).rejects.toMatchObject({ code: 'not-found' });
    await expect(devices.registry.update('other', id, { name: 'x' })).rejects.toMatchObject({ code: 'not-found' });
    await expect(devices.twins.get('other', id)).rejects.toMatchObject({ code: 'not-found' });
    await expect(devices.registry.get('default', 'a\0b')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('is replaced under its id with the next epoch, keeping name, tags, groups and desired state', async () => {
    const id = await devices.enter();
    await devices.registry.update('default', id, { name: 'Pump 8', tags: { hall: '1' } });
    await devices.groups.create('default', { id: 'kept', name: 'Kept', devices: [id] });
    await test.database.prisma.twin.updateMany({
      where: { deviceId: id },
      data: { version: 7, seenVersion: 7, seenEpoch: 1, reported: { some: 'thing' } },
    });
    const pi5 = { ...PI_4, board: 'Raspberry Pi 5 Model B' };
    const { epoch } = await test.database.transaction((tx) =>
      devices.lifecycle.replace(tx, 'default', id, { profile: pi5, pipelines: ['main', 'aux'] }),
    );
    expect(epoch).toBe(2);
    expect(await devices.registry.get('default', id)).toMatchObject({
      name: 'Pump 8',
      tags: { hall: '1' },
      groups: ['kept'],
      tier: 'pi-5',
      epoch: 2,
      pipelines: ['main', 'aux'],
    });
    expect(await devices.twins.get('default', id)).toMatchObject({ version: 7, inSync: false, reported: null });
  });

  it('once decommissioned, is in no group and no list, cannot be changed or replaced, and is still to be read', async () => {
    const id = await devices.enter();
    await devices.groups.create('default', { id: 'left', name: 'Left', devices: [id] });
    await test.database.transaction((tx) => devices.lifecycle.decommission(tx, 'default', id));
    expect(await devices.registry.get('default', id)).toMatchObject({
      state: 'decommissioned',
      groups: [],
      online: false,
    });
    expect((await devices.groups.get('default', 'left')).devices).toBe(0);
    expect((await devices.list({ q: id })).items).toEqual([]);
    expect((await devices.list({ q: id, state: 'decommissioned' })).items).toHaveLength(1);
    await expect(devices.registry.update('default', id, { name: 'x' })).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      test.database.transaction((tx) => devices.lifecycle.replace(tx, 'default', id, { profile: PI_4, pipelines: [] })),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      test.database.transaction((tx) => devices.lifecycle.decommission(tx, 'default', id)),
    ).rejects.toMatchObject({ code: 'conflict' });
  });
});
