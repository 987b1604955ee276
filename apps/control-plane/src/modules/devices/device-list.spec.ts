import { TIERS, tierOf } from '@drover/contracts';
import type { Device, DeviceFilter, Tier } from '@drover/contracts';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase } from '../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../platform/database/test-database.fixture.ts';
import { PI_4, devicesOn } from './devices.fixture.ts';

let test: TestDatabase;
let devices: ReturnType<typeof devicesOn>;

interface Made {
  id: string;
  name: string;
  tier: Tier;
  tags: Record<string, string>;
  pipelines: string[];
  state: string;
  groups: string[];
  seen: number | null;
  enrolled: number;
  onlineUntil: number | null;
}

const NAMES = ['pump', 'Pump 100%', 'pump_1', 'Ventil', 'ventil "ä"', String.raw`back\slash`, 'pump'];
const COUNT = 240;
/** Far enough from now that the lease decides the same during the whole run. */
const HOUR = 3_600_000;
const made: Made[] = [];

beforeAll(async () => {
  test = await testDatabase();
  devices = devicesOn(test.database);
  const now = Date.now();
  for (let i = 0; i < COUNT; i++) {
    made.push({
      id: `d${(i * 7919) % COUNT}`,
      name: NAMES[i % NAMES.length]!,
      tier: TIERS[i % 5]!,
      tags: { ...(i % 2 === 0 && { site: `s${i % 3}` }), ...(i % 5 === 0 && { line: 'a' }) },
      pipelines: i % 3 === 0 ? ['main'] : i % 3 === 1 ? ['main', 'aux'] : [],
      state: i % 11 === 0 ? 'decommissioned' : 'active',
      groups: i % 11 !== 0 && i % 4 === 0 ? ['fixed'] : [],
      seen: i % 6 === 0 ? null : now - (i % 9) * 60_000,
      enrolled: now - (i % 13) * 1_000,
      onlineUntil: i % 6 === 0 ? null : now + (i % 2 === 0 ? HOUR : -HOUR),
    });
  }
  await devices.groups.create('default', { id: 'fixed', name: 'Fixed' });
  await test.database.prisma.device.createMany({
    data: made.map((device) => ({
      fleetId: 'default',
      id: device.id,
      name: device.name,
      state: device.state,
      tier: device.tier,
      tags: device.tags,
      profile: { ...PI_4 },
      pipelines: device.pipelines,
      agentVersion: '0.1.0',
      enrolledAt: new Date(device.enrolled),
      lastSeenAt: device.seen === null ? null : new Date(device.seen),
      onlineUntil: device.onlineUntil === null ? null : new Date(device.onlineUntil),
    })),
  });
  await test.database.prisma.groupMember.createMany({
    data: made
      .filter((device) => device.groups.includes('fixed'))
      .map((device) => ({ fleetId: 'default', groupId: 'fixed', deviceId: device.id })),
  });
  // Another fleet's device fits every filter and must never be seen.
  await devices.enter('other');
  await devices.groups.create('default', { id: 'nested', name: 'Nested', filter: NESTED });
  await devices.groups.create('default', { id: 'outer', name: 'Outer', filter: { groups: ['nested', 'fixed'] } });
});
afterAll(() => test.stop());

const NESTED: DeviceFilter = { tiers: ['pi-4', 'pi-5'], pipelines: ['main'] };

/** What a filter means, said once more without SQL. */
function fits(device: Made, filter: DeviceFilter): boolean {
  return (
    (filter.tiers?.includes(device.tier) ?? true) &&
    Object.entries(filter.tags ?? {}).every(([key, value]) => device.tags[key] === value) &&
    (filter.pipelines?.some((pipeline) => device.pipelines.includes(pipeline)) ?? true) &&
    (filter.nameContains === undefined || device.name.toLowerCase().includes(filter.nameContains.toLowerCase())) &&
    (filter.groups?.some((group) => isIn(device, group)) ?? true)
  );
}

function isIn(device: Made, group: string): boolean {
  if (group === 'nested') return fits(device, NESTED);
  if (group === 'outer') return isIn(device, 'nested') || isIn(device, 'fixed');
  return device.groups.includes(group);
}

const text = fc.constantFrom('pump', 'PUMP', '%', '_', '\\', '"', 'ä', '100%', 'x', 'ventil', "'");
const group = fc.constantFrom('fixed', 'nested', 'outer');
const filters: fc.Arbitrary<DeviceFilter> = fc
  .record(
    {
      tiers: fc.uniqueArray(fc.constantFrom(...TIERS), { minLength: 1, maxLength: 3 }),
      tags: fc.dictionary(fc.constantFrom('site', 'line', 'none'), fc.constantFrom('s0', 's1', 'a'), { minKeys: 1 }),
      groups: fc.uniqueArray(group, { minLength: 1 }),
      nameContains: text,
      pipelines: fc.uniqueArray(fc.constantFrom('main', 'aux', 'none'), { minLength: 1 }),
    },
    { requiredKeys: [] },
  )
  .filter((filter) => Object.keys(filter).length > 0);

const forged = (values: unknown[]): string => Buffer.from(JSON.stringify(values)).toString('base64url');
const sorted = (ids: Iterable<string>): string[] => [...ids].toSorted();

async function pages(query: Record<string, unknown>): Promise<Device[]> {
  const all: Device[] = [];
  let cursor: string | undefined;
  for (let page = 0; page <= COUNT; page++) {
    const { items, nextCursor } = await devices.list({ ...query, ...(cursor !== undefined && { cursor }) });
    all.push(...items);
    if (nextCursor === null) return all;
    expect(items).not.toHaveLength(0);
    cursor = nextCursor;
  }
  throw new RangeError('the pages do not end');
}

describe('a filter over devices', () => {
  it('chooses exactly the devices that a naive evaluation chooses', async () => {
    await fc.assert(
      fc.asyncProperty(filters, async (filter) => {
        const expected = made.filter((device) => device.state === 'active' && fits(device, filter));
        expect(sorted(await devices.selectFilter(filter))).toEqual(sorted(expected.map((device) => device.id)));
      }),
      { numRuns: 80 },
    );
  });

  it('lists exactly the devices that a naive evaluation chooses, whatever is combined', async () => {
    const query = fc.record(
      {
        q: text,
        tier: fc.uniqueArray(fc.constantFrom(...TIERS), { maxLength: 3 }),
        group,
        online: fc.constantFrom('true', 'false'),
        state: fc.constantFrom('active', 'decommissioned'),
        tag: fc.uniqueArray(fc.constantFrom('site:s0', 'site:s2', 'line:a'), { maxLength: 2 }),
      },
      { requiredKeys: [] },
    );
    await fc.assert(
      fc.asyncProperty(query, async (asked) => {
        const expected = made.filter(
          (device) =>
            device.state === (asked.state ?? 'active') &&
            (asked.q === undefined || `${device.name}\n${device.id}`.toLowerCase().includes(asked.q.toLowerCase())) &&
            (!asked.tier?.length || asked.tier.includes(device.tier)) &&
            (asked.group === undefined || isIn(device, asked.group)) &&
            (asked.online === undefined ||
              (asked.online === 'true') === (device.onlineUntil !== null && device.onlineUntil > Date.now())) &&
            (asked.tag ?? []).every((tag) => device.tags[tag.split(':')[0]!] === tag.split(':')[1]),
        );
        const { items } = await devices.list({ ...asked, limit: 500 });
        expect(sorted(items.map((device) => device.id))).toEqual(sorted(expected.map((device) => device.id)));
      }),
      { numRuns: 80 },
    );
  });

  it('finds a text with wildcards and quotes as it is written, and nothing for one that no name can have', async () => {
    expect((await devices.list({ q: '100%' })).items.every((device) => device.name === 'Pump 100%')).toBe(true);
    expect((await devices.list({ q: 'p_mp' })).items).toEqual([]);
    expect((await devices.list({ q: '\0' })).items).toEqual([]);
    expect((await devices.list({ q: "' OR true --" })).items).toEqual([]);
  });
});

describe('pages of devices', () => {
  const sorts = ['name', '-name', 'lastSeenAt', '-lastSeenAt', 'enrolledAt', '-enrolledAt', 'tier', '-tier'];

  it.each(sorts)('neither skip nor repeat a device when sorted by %s', async (sort) => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 12, max: 110 }), async (limit) => {
        const ids = (await pages({ sort, limit })).map((device) => device.id);
        const whole = (await devices.list({ sort, limit: 500 })).items.map((device) => device.id);
        expect(ids).toEqual(whole);
        expect(ids).toHaveLength(made.filter((device) => device.state === 'active').length);
        expect(new Set(ids).size).toBe(ids.length);
      }),
      { numRuns: 3 },
    );
  });

  it('are in the order that was asked for', async () => {
    const byTime = (await pages({ sort: '-lastSeenAt', limit: 37 })).map((d) =>
      Date.parse(d.lastSeenAt ?? '1970-01-01'),
    );
    expect(byTime).toEqual(byTime.toSorted((a, b) => b - a));
    const byTier = (await pages({ sort: 'tier', limit: 37 })).map((device) => device.tier);
    expect(byTier).toEqual(byTier.toSorted());
  });

  it('neither skip nor repeat what stays while other devices come and go', async () => {
    const first = await devices.list({ sort: 'name', limit: 50 });
    const [gone] = first.items;
    await test.database.prisma.device.update({ where: { id: gone!.id }, data: { name: 'zzz' } });
    const rest = await pages({ sort: 'name', limit: 50, cursor: first.nextCursor });
    const ids = [...first.items, ...rest].map((device) => device.id);
    expect(ids.filter((id) => id === gone!.id)).toHaveLength(2);
    const others = ids.filter((id) => id !== gone!.id);
    expect(new Set(others).size).toBe(others.length);
    expect(others).toHaveLength(made.filter((device) => device.state === 'active').length - 1);
    await test.database.prisma.device.update({ where: { id: gone!.id }, data: { name: gone!.name } });
  });

  it('refuse a cursor of another sort, or one that nobody gave out', async () => {
    const { nextCursor } = await devices.list({ sort: 'name', limit: 1 });
    const wrong = [
      { sort: 'tier', cursor: nextCursor! },
      { sort: 'name', cursor: forged(['name', 5, 'x']) },
      { sort: 'name', cursor: forged(['name', 'a\0', 'x']) },
      { sort: 'enrolledAt', cursor: forged(['enrolledAt', 1e300, 'x']) },
      { sort: 'enrolledAt', cursor: forged(['enrolledAt', 'tomorrow', 'x']) },
      { sort: 'name', cursor: 'garbage' },
    ];
    for (const query of wrong) {
      await expect(devices.list(query)).rejects.toMatchObject({
        code: 'invalid-input',
        problems: [{ path: 'cursor' }],
      });
    }
  });

  it('say of each device which groups it is in, by membership and by filter', async () => {
    const { items } = await devices.list({ limit: 500 });
    for (const device of items) {
      const expected = made.find((one) => one.id === device.id)!;
      expect(device.groups).toEqual(['fixed', 'nested', 'outer'].filter((id) => isIn(expected, id)));
    }
  });
});

describe('the list of tiers', () => {
  it('has every tier with the number of its active devices', async () => {
    const { items } = await devices.registry.tiers('default');
    expect(items.map((item) => item.tier)).toEqual([...TIERS]);
    for (const { tier, devices: count } of items)
      expect(count).toBe(made.filter((device) => device.state === 'active' && device.tier === tier).length);
    expect((await devices.registry.tiers('other')).items.find((item) => item.tier === tierOf(PI_4))?.devices).toBe(1);
  });
});
