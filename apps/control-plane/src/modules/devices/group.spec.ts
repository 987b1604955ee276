import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase } from '../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../platform/database/test-database.fixture.ts';
import { devicesOn } from './devices.fixture.ts';

let test: TestDatabase;
let devices: ReturnType<typeof devicesOn>;
beforeAll(async () => {
  test = await testDatabase();
  devices = devicesOn(test.database);
});
afterAll(() => test.stop());

describe('a group', () => {
  it('counts the devices that were put in, each once', async () => {
    const [a, b] = [await devices.enter(), await devices.enter()];
    const group = await devices.groups.create('default', { id: 'press', name: 'Press', devices: [a, a] });
    expect(group).toMatchObject({ id: 'press', filter: null, devices: 1 });
    expect((await devices.groups.addDevices('default', 'press', [a, b])).devices).toBe(2);
    await devices.groups.removeDevice('default', 'press', a);
    expect((await devices.groups.get('default', 'press')).devices).toBe(1);
    await expect(devices.groups.removeDevice('default', 'press', a)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('names every device that there is not, at its place, and changes nothing', async () => {
    const known = await devices.enter();
    const foreign = await devices.enter('other');
    const adding = devices.groups.create('default', {
      id: 'broken',
      name: 'Broken',
      devices: [known, foreign, 'none'],
    });
    await expect(adding).rejects.toMatchObject({
      code: 'invalid-input',
      problems: [{ path: 'devices.1' }, { path: 'devices.2' }],
    });
    await expect(devices.groups.get('default', 'broken')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('with a filter follows what is known of the devices, and cannot be filled by hand', async () => {
    const id = await devices.enter();
    await devices.groups.create('default', { id: 'hall-2', name: 'Hall 2', filter: { tags: { hall: '2' } } });
    expect((await devices.groups.get('default', 'hall-2')).devices).toBe(0);
    await devices.registry.update('default', id, { tags: { hall: '2', line: 'a' } });
    expect((await devices.groups.get('default', 'hall-2')).devices).toBe(1);
    expect((await devices.registry.get('default', id)).groups).toEqual(['hall-2']);
    await expect(devices.groups.addDevices('default', 'hall-2', [id])).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      devices.groups.create('default', { name: 'Both', filter: { tiers: ['pi-4'] }, devices: [id] }),
    ).rejects.toMatchObject({ code: 'invalid-input', problems: [{ path: 'devices' }] });
  });

  it('has an id and a name of its own in its fleet, and is unknown in another', async () => {
    await devices.groups.create('default', { id: 'one', name: 'One' });
    await expect(devices.groups.create('default', { id: 'one', name: 'Uno' })).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(devices.groups.create('default', { id: 'uno', name: 'One' })).rejects.toMatchObject({
      code: 'conflict',
    });
    await devices.groups.create('other', { id: 'one', name: 'One' });
    await devices.groups.remove('other', 'one');
    expect(await devices.groups.get('default', 'one')).toMatchObject({ name: 'One' });
    await expect(devices.groups.get('other', 'one')).rejects.toMatchObject({ code: 'not-found' });
  });

  it('may be named by the filter of another, and stays as long as it is', async () => {
    await devices.groups.create('default', { id: 'inner', name: 'Inner' });
    await devices.groups.create('default', { id: 'around', name: 'Around', filter: { groups: ['inner'] } });
    await expect(devices.groups.remove('default', 'inner')).rejects.toMatchObject({ code: 'conflict' });
    await devices.groups.remove('default', 'around');
    await devices.groups.remove('default', 'inner');
    await expect(
      devices.groups.create('default', { name: 'Dangling', filter: { groups: ['inner'] } }),
    ).rejects.toMatchObject({ problems: [{ path: 'filter.groups.0' }] });
  });

  it('lists pages in the order of names', async () => {
    for (let i = 0; i < 5; i++) await devices.groups.create('other', { name: `Group ${i}` });
    const first = await devices.groups.list('other', { limit: 3 });
    const second = await devices.groups.list('other', { limit: 3, cursor: first.nextCursor! });
    expect([...first.items, ...second.items].map((group) => group.name)).toEqual(
      [0, 1, 2, 3, 4].map((i) => `Group ${i}`),
    );
    expect(second.nextCursor).toBeNull();
  });
});

describe('the devices of a target', () => {
  it('come each once, in an order that is always the same and not that of their ids', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 12; i++) ids.push(await devices.enter());
    const first = await devices.select({ kind: 'devices', devices: ids });
    const again = await devices.select({ kind: 'devices', devices: ids.toReversed() });
    expect(first.toSorted()).toEqual(ids.toSorted());
    expect(again).toEqual(first);
    expect(first).not.toEqual(ids.toSorted());
  });

  it('are those of the group at this moment, static or dynamic', async () => {
    const id = await devices.enter();
    await devices.registry.update('default', id, { tags: { aim: 'yes' } });
    await devices.groups.create('default', { id: 'aim-static', name: 'Aim static', devices: [id] });
    await devices.groups.create('default', {
      id: 'aim-dynamic',
      name: 'Aim dynamic',
      filter: { tags: { aim: 'yes' } },
    });
    for (const group of ['aim-static', 'aim-dynamic'])
      expect(await devices.select({ kind: 'group', group })).toEqual([id]);
  });

  it('must all exist, be active and of the fleet; each that is not is named', async () => {
    const here = await devices.enter();
    const foreign = await devices.enter('other');
    const gone = await devices.enter();
    await test.database.transaction((tx) => devices.lifecycle.decommission(tx, 'default', gone));
    await expect(devices.select({ kind: 'devices', devices: [foreign, here, gone] })).rejects.toMatchObject({
      code: 'invalid-input',
      problems: [{ path: 'target.devices.0' }, { path: 'target.devices.2' }],
    });
    await expect(devices.select({ kind: 'group', group: 'none' })).rejects.toMatchObject({
      problems: [{ path: 'target.group' }],
    });
    await expect(devices.selectFilter({ groups: ['none'], tiers: ['pi-4'] })).rejects.toMatchObject({
      problems: [{ path: 'target.filter.groups.0' }],
    });
  });
});
