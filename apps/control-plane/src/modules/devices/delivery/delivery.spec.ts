import type { DesiredPipeline } from '@drover/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../../platform/broker/eventually.fixture.ts';
import { testDelivery } from './delivery.fixture.ts';
import type { TestDelivery, TestDevice } from './delivery.fixture.ts';

let test: TestDelivery;
beforeAll(async () => {
  test = await testDelivery();
});
afterAll(() => test.stop());

const pipeline = (release: string): DesiredPipeline => ({
  release,
  releaseVersion: 1,
  rollout: null,
  execution: null,
  manifest: { digest: 'a'.repeat(64), sizeBytes: 10 },
  candidates: ['fp32'],
  calibration: null,
});

async function change(
  devices: readonly TestDevice[],
  release: string,
  rollback = false,
  fleet = 'default',
): Promise<void> {
  const changes = devices.map(({ id }) => ({ device: id, pipeline: 'main', desired: pipeline(release), rollback }));
  await test.db.database.transaction((tx) => test.devices.twins.changePipelines(tx, fleet, changes));
}

const desiredOf = (device: TestDevice): any[] => device.on(device.topics.desired);

const send = (device: TestDevice, id: string) =>
  test.db.database.transaction((tx) => test.outbox.command(tx, 'default', device.id, { type: 'renew', id }));

const pending = (device: TestDevice) => test.db.database.prisma.deviceOutbox.count({ where: { deviceId: device.id } });

const answer = (device: TestDevice, id: string, status = 'SUCCEEDED') =>
  device.client!.publishAsync(
    device.topics.commandStatus('renew', id),
    JSON.stringify({ bootId: 'boot', class: 'e', seq: 1, status, message: 'x' }),
    { qos: 1 },
  );

const disconnect = (device: TestDevice, options: { afterCommand?: string; graceMs?: number } = {}) =>
  test.db.database.transaction(async (tx) => {
    if (options.afterCommand)
      await test.outbox.command(tx, 'default', device.id, { type: 'erase', id: options.afterCommand });
    test.mqtt.distrust(device.id);
    await test.outbox.disconnect(tx, 'default', device.id, { reason: 'revoked', ...options });
  });

describe('an online status', () => {
  it('is answered with what an acknowledgement is worth and with the desired state, signed', async () => {
    const device = await test.device();
    await device.connect();
    await eventually(() => expect(desiredOf(device)).toHaveLength(1));
    expect(device.on(device.topics.ack)).toEqual([{ mode: 'puback' }]);
    const envelope = test.verify(desiredOf(device)[0], device.id, 'twin');
    expect(envelope).toMatchObject({
      epoch: 1,
      version: 0,
      payload: { format: 'drover.desired/1', pipelines: {}, keys: test.keys.keySet },
    });
    expect(Date.parse(envelope.expiresAt) - Date.parse(envelope.issuedAt)).toBe(30 * 86_400_000);
  });

  it('is not answered with a desired state that the device has seen, and again with one that is newer', async () => {
    const device = await test.device();
    await change([device], 'r-1');
    await eventually(async () => expect(await pending(device)).toBe(0));
    await device.connect({ desiredSeen: { epoch: 1, version: 1 } });
    await change([device], 'r-2');
    await eventually(() => expect(desiredOf(device)).toHaveLength(1));
    expect(desiredOf(device)[0]).toMatchObject({ version: 2 });
    await device.say({ desiredSeen: { epoch: 1, version: 1 } });
    await eventually(() => expect(desiredOf(device)).toHaveLength(2));
    await device.say({ desiredSeen: { epoch: 1, version: 2 } });
    // A higher epoch is newer than any version of a lower one.
    await test.db.database.pool.query('UPDATE twins SET epoch = 2, version = 1 WHERE device_id = $1', [device.id]);
    await device.say({ desiredSeen: { epoch: 1, version: 900 } });
    await eventually(() => expect(desiredOf(device)).toHaveLength(3));
    expect(desiredOf(device)[2]).toMatchObject({ epoch: 2, version: 1 });
  });

  it('with invalid content is set aside and acknowledged, and what follows is handled', async () => {
    const device = await test.device();
    await device.connect();
    for (const bytes of ['', '{', '{"online":"yes","bootId":"b"}', '\u0002', '{"online":true,"bootId":"\\u0000"}']) {
      await device.client!.publishAsync(device.topics.status, bytes, { qos: 1 });
    }
    await device.client!.publishAsync(device.topics.get('time'), '{"sentAt":-1}', { qos: 1 });
    const { items } = await test.rejects.list('default', { limit: 50, device: device.id });
    expect(items.map(({ code }) => code)).toEqual(Array.from({ length: 6 }, () => 'invalid-message'));
    expect(items.some(({ message }) => message.startsWith('online: '))).toBe(true);
    await device.client!.publishAsync(device.topics.get('time'), '{"sentAt":7}', { qos: 1 });
    await eventually(() => expect(device.on(device.topics.ack).at(-1).time).toMatchObject({ sentAt: 7 }));
  });
});

describe('a change of the desired state', () => {
  it('reaches a connected device, and says where it is a step back', async () => {
    const device = await test.device();
    await device.connect({ desiredSeen: { epoch: 1, version: 0 } });
    await change([device], 'r-2');
    await change([device], 'r-1', true);
    await eventually(() => expect(desiredOf(device).at(-1)).toMatchObject({ version: 2, rollback: true }));
    const envelope = test.verify(desiredOf(device).at(-1), device.id, 'twin');
    expect(envelope.payload.pipelines.main).toMatchObject({ release: 'r-1' });
    expect(
      desiredOf(device)
        .filter(({ version }) => version === 1)
        .every(({ rollback }) => rollback === undefined),
    ).toBe(true);
  });

  it('reaches a device that was away when it comes back, and nothing is kept in the outbox meanwhile', async () => {
    const device = await test.device();
    await device.connect({ desiredSeen: { epoch: 1, version: 0 } });
    await device.client!.endAsync();
    await eventually(() => expect(test.mqtt.broker.isConnected(device.id)).toBe(false));
    await change([device], 'r-1');
    await change([device], 'r-2');
    await eventually(async () => expect(await pending(device)).toBe(0));
    expect(desiredOf(device)).toEqual([]);
    await device.connect({ desiredSeen: { epoch: 1, version: 0 } });
    await eventually(() => expect(desiredOf(device)).toHaveLength(1));
    expect(desiredOf(device)[0]).toMatchObject({ version: 2, payload: { pipelines: { main: { release: 'r-2' } } } });
  });

  it('of a whole wave reaches every device, each with its own envelope', async () => {
    const devices = await Promise.all(Array.from({ length: 40 }, () => test.device()));
    await Promise.all(devices.map((device) => device.connect({ desiredSeen: { epoch: 1, version: 0 } })));
    await change(devices, 'r-wave');
    await eventually(() => expect(devices.every((device) => desiredOf(device).length > 0)).toBe(true), 10_000);
    for (const device of devices) {
      expect(test.verify(desiredOf(device).at(-1), device.id, 'twin').payload.pipelines.main.release).toBe('r-wave');
    }
  });

  it('of a device in another fleet stays there', async () => {
    const here = await test.device();
    const there = await test.device('other');
    await here.connect({ desiredSeen: { epoch: 1, version: 0 } });
    await there.connect({ desiredSeen: { epoch: 1, version: 0 } });
    await change([there], 'r-1', false, 'other');
    await eventually(() => expect(desiredOf(there)).toHaveLength(1));
    expect(test.verify(desiredOf(there)[0], there.id, 'twin', 'other')).toMatchObject({ fleet: 'other' });
    expect(desiredOf(here)).toEqual([]);
  });

  it('after a rotation elsewhere is signed with the new key and carries the new key set', async () => {
    const device = await test.device();
    await device.connect({ desiredSeen: { epoch: 1, version: 0 } });
    const before = test.keys.keySetVersion;
    await test.db.database.transaction(async (tx) => {
      await test.keys.rotate(tx, 'twin');
      await test.devices.twins.markAllForResend(tx);
    });
    // `rotate` leaves the loaded keys as they are, as in the processes that did not rotate.
    await eventually(() => expect(desiredOf(device)).toHaveLength(1));
    expect(test.keys.keySetVersion).toBe(before + 1);
    expect(desiredOf(device)[0].payload.keys.payload.version).toBe(before + 1);
    expect(desiredOf(device)[0].signatures[0].keyId).toBe(test.keys.signers('twin')[0]!.keyId);
  });

  it('can be asked for', async () => {
    const device = await test.device();
    await device.connect({ desiredSeen: { epoch: 1, version: 0 } });
    await device.client!.publishAsync(device.topics.get('twin'), '{}', { qos: 1 });
    await eventually(() => expect(desiredOf(device)).toHaveLength(1));
  });
});

describe('a command', () => {
  it('reaches a connected device, signed, and is done when the device says so', async () => {
    const device = await test.device();
    await device.connect();
    await send(device, 'c-1');
    const topic = device.topics.command('renew', 'c-1');
    await eventually(() => expect(device.on(topic)).toHaveLength(1));
    expect(test.verify(device.on(topic)[0], device.id, 'command').payload).toEqual({ type: 'renew', id: 'c-1' });
    expect(await pending(device)).toBe(1);
    await answer(device, 'c-1', 'REJECTED');
    await answer(device, 'c-1', 'REJECTED');
    expect(await pending(device)).toBe(0);
    const events = await test.devices.eventsOf(device.id);
    expect(events.filter(({ type }) => type === 'device.command-finished').map(({ data }) => data)).toEqual([
      { command: 'c-1', type: 'renew', status: 'REJECTED', message: 'x' },
    ]);
  });

  it('waits for a device that is away, in order', async () => {
    const device = await test.device();
    await send(device, 'c-1');
    await send(device, 'c-2');
    await eventually(async () =>
      expect(
        await test.db.database.prisma.deviceOutbox.count({ where: { deviceId: device.id, sentAt: new Date(0) } }),
      ).toBe(2),
    );
    await device.connect();
    await eventually(() => expect(device.heard.filter(({ topic }) => topic.includes('/cmd/'))).toHaveLength(2));
    expect(device.heard.filter(({ topic }) => topic.includes('/cmd/')).map(({ body }) => body.payload.id)).toEqual([
      'c-1',
      'c-2',
    ]);
  });

  it('that is not answered is sent again at a later status, one that is answered is not', async () => {
    const device = await test.device();
    await device.connect();
    await send(device, 'c-1');
    await send(device, 'c-2');
    await eventually(() => expect(device.heard.filter(({ topic }) => topic.includes('/cmd/'))).toHaveLength(2));
    await answer(device, 'c-1');
    await device.say({});
    await test.db.database.pool.query(
      `UPDATE device_outbox SET sent_at = sent_at - interval '1 hour' WHERE device_id = $1`,
      [device.id],
    );
    await device.say({});
    const topic = device.topics.command('renew', 'c-2');
    await eventually(() => expect(device.on(topic)).toHaveLength(2));
    expect(device.on(device.topics.command('renew', 'c-1'))).toHaveLength(1);
  });

  it('of another device cannot be answered', async () => {
    const device = await test.device();
    const other = await test.device();
    await other.connect();
    await send(device, 'c-1');
    await answer(other, 'c-1');
    expect(await pending(device)).toBe(1);
  });
});

describe('a disconnect', () => {
  it('drops the connection', async () => {
    const device = await test.device();
    await device.connect();
    await disconnect(device);
    await eventually(() => expect(device.client!.connected).toBe(false));
    expect(test.mqtt.broker.isConnected(device.id)).toBe(false);
  });

  it('waits for the answer to a last command', async () => {
    const device = await test.device();
    await device.connect();
    await disconnect(device, { afterCommand: 'c-9', graceMs: 60_000 });
    await eventually(() => expect(device.on(device.topics.command('erase', 'c-9'))).toHaveLength(1));
    expect(device.client!.connected).toBe(true);
    const status = { bootId: 'boot', class: 'e', seq: 1, status: 'SUCCEEDED', message: null };
    await device.client!.publishAsync(device.topics.commandStatus('erase', 'c-9'), JSON.stringify(status), { qos: 1 });
    await eventually(() => expect(device.client!.connected).toBe(false));
  });

  it('but not for ever', async () => {
    const device = await test.device();
    await device.connect();
    await disconnect(device, { afterCommand: 'c-9', graceMs: 200 });
    await eventually(() => expect(device.client!.connected).toBe(false), 5_000);
    expect(device.on(device.topics.command('erase', 'c-9'))).toHaveLength(1);
  });
});

describe('a database that is away', () => {
  it('keeps nobody from being connected, and is waited out', async () => {
    const device = await test.device();
    await device.connect({ desiredSeen: { epoch: 1, version: 0 } });
    await test.db.database.pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    await eventually(() => change([device], 'r-after'), 10_000);
    await eventually(
      () =>
        expect(desiredOf(device).at(-1)).toMatchObject({ payload: { pipelines: { main: { release: 'r-after' } } } }),
      10_000,
    );
  });
});
