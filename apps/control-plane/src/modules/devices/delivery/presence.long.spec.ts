import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../../platform/broker/eventually.fixture.ts';
import { testDelivery } from './delivery.fixture.ts';
import type { TestDelivery } from './delivery.fixture.ts';

const LEASE_MS = 1_800;

let test: TestDelivery;
beforeAll(async () => {
  test = await testDelivery(LEASE_MS);
});
afterAll(() => test.stop());

async function presenceOf(device: string) {
  const { rows } = await test.db.database.pool.query<{
    online: boolean;
    leased: boolean;
    seen: boolean;
    until: Date | null;
  }>(
    `SELECT online, coalesce(online_until > now(), false) AS leased, last_seen_at IS NOT NULL AS seen, online_until AS until
       FROM devices WHERE id = $1`,
    [device],
  );
  return rows[0]!;
}

describe('presence', () => {
  it('begins with the status, which is acknowledged when that is committed', async () => {
    const device = await test.device();
    expect(await presenceOf(device.id)).toMatchObject({ online: false, leased: false, seen: false });
    await device.connect();
    expect(await presenceOf(device.id)).toMatchObject({ online: true, leased: true, seen: true });
    expect(await test.eventsOf(device.id)).toEqual(['device.online']);
  });

  it('is renewed by any message, but seldom written', async () => {
    const device = await test.device();
    await device.connect();
    const untils = new Set<number>();
    const end = Date.now() + 2 * LEASE_MS;
    let messages = 0;
    while (Date.now() < end) {
      await device.client!.publishAsync(device.topics.measurements('s'), '{}', { qos: 1 });
      messages += 1;
      const { leased, until } = await presenceOf(device.id);
      expect(leased).toBe(true);
      untils.add(until!.getTime());
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(messages).toBeGreaterThan(30);
    expect(untils.size).toBeLessThanOrEqual(8);
    expect(await test.eventsOf(device.id)).toEqual(['device.online']);
  });

  it('begins with any message of a device that never says so', async () => {
    const device = await test.device();
    device.client = await test.mqtt.connect(device.id);
    await device.client.publishAsync(device.topics.measurements('s'), '{}', { qos: 1 });
    await eventually(async () => expect(await test.eventsOf(device.id)).toEqual(['device.online']));
    expect(await presenceOf(device.id)).toMatchObject({ online: true, leased: true });
  });

  it('ends with the will', async () => {
    const device = await test.device();
    await device.connect();
    device.client!.stream.destroy();
    await eventually(async () => expect(await test.eventsOf(device.id)).toEqual(['device.online', 'device.offline']));
    expect(await presenceOf(device.id)).toMatchObject({ online: false, leased: false });
    const [, offline] = (await test.devices.eventsOf(device.id)).filter(({ type }) => type !== 'device.enrolled');
    expect(offline!.data).toEqual({ reason: 'will' });
  });

  it('ends with a goodbye, and begins again', async () => {
    const device = await test.device();
    await device.connect();
    await device.say({ online: false });
    await device.client!.endAsync();
    expect(await presenceOf(device.id)).toMatchObject({ online: false, leased: false });
    await device.connect();
    expect(await test.eventsOf(device.id)).toEqual(['device.online', 'device.offline', 'device.online']);
  });

  it('ends with the lease where nothing is heard any more, and is told by an event', async () => {
    const device = await test.device();
    await device.connect();
    await eventually(
      async () => expect(await test.eventsOf(device.id)).toEqual(['device.online', 'device.offline']),
      5_000,
    );
    expect((await test.devices.eventsOf(device.id)).at(-1)!.data).toEqual({ reason: 'lease' });
    await device.say({});
    expect(await presenceOf(device.id)).toMatchObject({ online: true, leased: true });
    expect(await test.eventsOf(device.id)).toEqual(['device.online', 'device.offline', 'device.online']);
  });

  it('of devices whose gateway was killed ends with the lease: another one sees to it', async () => {
    const device = await test.device();
    await test.db.database.pool.query(
      `UPDATE devices SET online = true, online_until = now() + interval '300 ms' WHERE id = $1`,
      [device.id],
    );
    await eventually(async () => expect(await test.eventsOf(device.id)).toEqual(['device.offline']), 5_000);
  });

  it('survives a connection being replaced: the old will is not heard', async () => {
    const device = await test.device();
    await device.connect();
    const first = device.client!;
    await device.connect();
    await eventually(() => expect(first.connected).toBe(false));
    await device.say({});
    expect(await test.eventsOf(device.id)).toEqual(['device.online']);
  });

  it('of a decommissioned device does not begin', async () => {
    const device = await test.device();
    await test.db.database.pool.query(`UPDATE devices SET state = 'decommissioned' WHERE id = $1`, [device.id]);
    await device.connect();
    expect(await presenceOf(device.id)).toMatchObject({ online: false, leased: false });
  });

  it('of many devices is written together', async () => {
    const devices = await Promise.all(Array.from({ length: 30 }, () => test.device()));
    await Promise.all(devices.map((device) => device.connect()));
    const { rows } = await test.db.database.pool.query<{ id: string; xmin: string }>(
      'SELECT id, xmin::text FROM devices WHERE id = ANY($1)',
      [devices.map(({ id }) => id)],
    );
    expect(new Set(rows.map(({ xmin }) => xmin)).size).toBeLessThan(30);
    const told = await test.db.database.prisma.event.findMany({
      where: { subject: { in: devices.map(({ id }) => id) }, type: 'device.online' },
    });
    expect(new Set(told.map(({ subject }) => subject)).size).toBe(30);
    expect(told).toHaveLength(30);
  });
});
