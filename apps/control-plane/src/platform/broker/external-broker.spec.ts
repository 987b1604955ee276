import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deviceTopics } from '@drover/contracts';
import { silentLogger } from '@drover/runtime';
import { Aedes } from 'aedes';
import { connectAsync } from 'mqtt';
import type { MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { testDatabase } from '../database/test-database.fixture.ts';
import type { TestDatabase } from '../database/test-database.fixture.ts';
import { Metrics } from '../metrics.ts';
import { Readiness } from '../readiness.ts';
import { eventually } from './eventually.fixture.ts';
import { DeviceGateway } from './device-gateway.ts';
import type { DeviceMessage } from './device-gateway.ts';
import { DeviceStanding } from './device-standing.ts';
import { BrokerUnreachableError, ExternalBroker } from './external-broker.ts';

const mosquitto = spawnSync('mosquitto', ['-h']).error === undefined;
const topics = deviceTopics('default', 'd-1');

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
  for (const id of ['d-1', 'd-2']) await addDevice(id);
});
afterAll(() => db.stop());

async function addDevice(id: string): Promise<void> {
  const { prisma } = db.database;
  await prisma.device.create({
    data: { fleetId: 'default', id, name: id, tier: 'generic-x64', profile: {}, agentVersion: '1' },
  });
  const expiresAt = new Date(Date.now() + 3_600_000);
  await prisma.certificate.create({
    data: { serial: id, fleetId: 'default', deviceId: id, epoch: 1, fingerprint: id, expiresAt },
  });
}

interface Running {
  readonly url: string;
  stop(): Promise<void>;
}

/** A gateway on a broker, with handlers that note what they are given. */
async function gatewayOn(url: string, shared: boolean) {
  const gateway = new DeviceGateway();
  const received: DeviceMessage[] = [];
  const made = { commit: async (_message: DeviceMessage): Promise<void> => undefined };
  for (const kind of ['status', 'measurement', 'event'] as const) {
    gateway.register(kind, async (message) => {
      received.push(message);
      await made.commit(message);
    });
  }
  const readiness = new Readiness();
  const metrics = new Metrics();
  const broker = new ExternalBroker({
    url,
    gateway,
    standing: new DeviceStanding(db.database, 100),
    readiness,
    metrics,
    logger: silentLogger,
    shared,
    connectTimeoutMs: 2_000,
  });
  await broker.start();
  return { gateway, broker, received, made, readiness, metrics, stop: () => broker.stop() };
}

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

async function device(url: string, id = 'd-1'): Promise<{ client: MqttClient; heard: { topic: string; body: any }[] }> {
  const client = await connectAsync(url, { clientId: id, reconnectPeriod: 0 }, false);
  stops.push(() => client.endAsync());
  const heard: { topic: string; body: any }[] = [];
  client.on('message', (topic, payload) => heard.push({ topic, body: JSON.parse(payload.toString()) }));
  const own = deviceTopics('default', id);
  await client.subscribeAsync([own.ack, own.desired, own.allCommands], { qos: 1 });
  return { client, heard };
}

const sample = (seq: number): string =>
  JSON.stringify({ bootId: 'b', class: 'm', seq, t: 1, channels: ['a'], values: [1] });

describe('a gateway beside a broker of its own', () => {
  let url: string;
  beforeEach(async () => {
    const aedes = await Aedes.createBroker();
    const server = createServer(aedes.handle);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
    stops.push(async () => {
      await new Promise<void>((resolve) => aedes.close(resolve));
      server.close();
    });
  });

  it('confirms what it has committed, and only that', async () => {
    const { made, received, ...gateway } = await gatewayOn(url, false);
    stops.push(gateway.stop);
    made.commit = async ({ payload }) => {
      if (JSON.parse(Buffer.from(payload).toString()).seq === 3) throw new TypeError('the database is away');
    };
    const { client, heard } = await device(url);
    for (const seq of [1, 2, 3, 4]) await client.publishAsync(topics.measurements('s'), sample(seq), { qos: 1 });
    await eventually(() => {
      const ranges = heard.flatMap(({ body }) => body.committed.m);
      expect(ranges.flatMap(([from, to]: [number, number]) => (from === to ? [from] : [from, to])).toSorted()).toEqual([
        1, 2, 4,
      ]);
    });
    expect(heard.every(({ topic, body }) => topic === topics.ack && body.bootId === 'b')).toBe(true);
    expect(received).toHaveLength(4);
    expect(received[0]).toMatchObject({
      principal: { fleet: 'default', device: 'd-1' },
      parsed: { kind: 'measurement', stream: 's' },
    });
  });

  it('says so: a PUBACK is only a receipt there', async () => {
    const { broker, stop } = await gatewayOn(url, false);
    stops.push(stop);
    expect(broker.acknowledgement).toBe('ack');
    const { heard } = await device(url);
    expect(await broker.publish(topics.ack, Buffer.from('{"mode":"ack"}'))).toBe(true);
    await eventually(() => expect(heard).toEqual([{ topic: topics.ack, body: { mode: 'ack' } }]));
  });

  it('takes nothing of devices that are unknown, or whose certificates are revoked', async () => {
    const { received, metrics, stop } = await gatewayOn(url, false);
    stops.push(stop);
    const { client } = await device(url, 'd-2');
    const own = deviceTopics('default', 'd-2');
    await client.publishAsync(own.measurements('s'), sample(1), { qos: 1 });
    await eventually(() => expect(received).toHaveLength(1));
    await db.database.prisma.certificate.update({ where: { serial: 'd-2' }, data: { revokedAt: new Date() } });
    await new Promise((resolve) => setTimeout(resolve, 150));
    await client.publishAsync(own.measurements('s'), sample(2), { qos: 1 });
    await client.publishAsync(deviceTopics('default', 'nobody').measurements('s'), sample(3), { qos: 1 });
    await client.publishAsync(deviceTopics('other', 'd-1').measurements('s'), sample(4), { qos: 1 });
    await eventually(async () =>
      expect(await metrics.registry.metrics()).toContain(
        'drover_mqtt_refused_total{listener="external-mqtt",reason="certificate"} 3',
      ),
    );
    expect(received).toHaveLength(1);
  });

  it('clears what the broker keeps of a revoked device', async () => {
    const { broker, stop } = await gatewayOn(url, false);
    stops.push(stop);
    await broker.publish(topics.desired, Buffer.from('{"v":1}'), { retain: true });
    const before = await device(url);
    await eventually(() => expect(before.heard).toHaveLength(1));
    await before.client.endAsync();
    await broker.purge('default', 'd-1');
    const { heard } = await device(url);
    await broker.publish(topics.ack, Buffer.from('{}'));
    await eventually(() => expect(heard).toEqual([{ topic: topics.ack, body: {} }]));
  });

  it('does not start where there is no broker, and says which', async () => {
    const nowhere = 'mqtt://user:secret@127.0.0.1:1';
    const error: unknown = await gatewayOn(nowhere, false).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(BrokerUnreachableError);
    expect((error as Error).message).toContain('mqtt://127.0.0.1:1 (MQTT_URL)');
    expect((error as Error).message).not.toContain('secret');
  });
});

describe.skipIf(!mosquitto)('gateways beside Mosquitto', () => {
  let running: Running;
  const port = 20_000 + (process.pid % 10_000);

  async function startMosquitto(): Promise<Running> {
    const folder = await mkdtemp(join(tmpdir(), 'drover-mosquitto-'));
    const config = join(folder, 'mosquitto.conf');
    await writeFile(config, `listener ${port} 127.0.0.1\nallow_anonymous true\n`);
    const child = spawn('mosquitto', ['-c', config], { stdio: 'ignore' });
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const url = `mqtt://127.0.0.1:${port}`;
    await eventually(async () => (await connectAsync(url, { reconnectPeriod: 0 }, false)).endAsync(), 5_000);
    return {
      url,
      stop: async () => {
        child.kill('SIGKILL');
        await exited;
        await rm(folder, { recursive: true });
      },
    };
  }
  beforeEach(async () => {
    running = await startMosquitto();
  });
  afterEach(() => running.stop());

  it('share the messages: each is handled by one of them and confirmed once', async () => {
    const one = await gatewayOn(running.url, true);
    const two = await gatewayOn(running.url, true);
    const { client, heard } = await device(running.url);
    const count = 200;
    await Promise.all(
      Array.from({ length: count }, (_, i) => client.publishAsync(topics.measurements('s'), sample(i + 1), { qos: 1 })),
    );
    await eventually(() => expect(one.received.length + two.received.length).toBe(count));
    expect(one.received.length).toBeGreaterThan(0);
    expect(two.received.length).toBeGreaterThan(0);
    const confirmed = () =>
      heard
        .flatMap(({ body }) => body.committed.m as [number, number][])
        .reduce((sum, [from, to]) => sum + to - from + 1, 0);
    await eventually(() => expect(confirmed()).toBe(count));
    await client.endAsync();
    await Promise.all([one.stop(), two.stop()]);
  });

  it('come back after the broker was killed', async () => {
    const one = await gatewayOn(running.url, true);
    expect(one.readiness.parts['broker']).toMatchObject({ ready: true });
    await running.stop();
    await eventually(() => expect(one.readiness.parts['broker']).toMatchObject({ ready: false }), 5_000);
    expect(await one.broker.publish(topics.ack, Buffer.from('{}'))).toBe(false);
    running = await startMosquitto();
    await eventually(() => expect(one.readiness.parts['broker']).toMatchObject({ ready: true }), 10_000);
    const { client, heard } = await device(running.url);
    await client.publishAsync(topics.measurements('s'), sample(1), { qos: 1 });
    await eventually(() => expect(heard.at(-1)?.body.committed.m).toEqual([[1, 1]]));
    await client.endAsync();
    await one.stop();
  });
});
