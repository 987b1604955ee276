import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { silentLogger } from '@drover/runtime';
import { connectAsync } from 'mqtt';
import type { IClientOptions, MqttClient } from 'mqtt';
import { generate } from 'mqtt-packet';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../../platform/broker/eventually.fixture.ts';
import { TestAuthority } from '../../../platform/broker/certificates.fixture.ts';
import { DeviceIdentity } from '../../../platform/broker/device-identity.ts';
import { testDatabase } from '../../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../../platform/database/test-database.fixture.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { EventReader } from '../../../platform/events/event-reader.ts';
import { Listeners } from '../../../platform/listeners.ts';
import { Metrics } from '../../../platform/metrics.ts';
import { ApiKeyRepository } from '../../access/api-key.repository.ts';
import { ApiKeyService } from '../../access/api-key.service.ts';
import { IntegrationsBroker } from './integrations-broker.ts';

let db: TestDatabase;
let authority: TestAuthority;
let keys: ApiKeyService;
let broker: IntegrationsBroker;
let metrics: Metrics;
let url: string;
const outbox = new EventOutbox();
const secrets: Record<string, string> = {};
const clients: MqttClient[] = [];

beforeAll(async () => {
  db = await testDatabase();
  authority = await TestAuthority.create();
  const server = await authority.server();
  const identity = new DeviceIdentity();
  identity.setMaterial({ key: server.key, cert: server.cert + authority.cert, ca: [authority.cert] });
  keys = new ApiKeyService(db.database, new ApiKeyRepository(db.database), outbox);
  metrics = new Metrics();
  const listeners = new Listeners();
  broker = new IntegrationsBroker({
    host: '127.0.0.1',
    port: 0,
    publicHost: 'localhost',
    identity,
    authenticate: (secret) => keys.authenticate(secret),
    reader: new EventReader(db.database),
    listener: db.listener,
    listeners,
    metrics,
    logger: silentLogger,
    recheckEveryMs: 100,
  });
  await broker.start();
  url = listeners.url('events-mqtt')!;
  for (const fleet of ['default', 'other'])
    secrets[fleet] = (await keys.create(fleet, { name: 'feed', role: 'viewer' })).secret;
  secrets['instance'] = (await keys.ensureInstanceKey(true))!;
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.end(true);
  await eventually(() => expect(broker.following).toBe(false));
});
afterAll(async () => {
  await broker.stop();
  await db.stop();
});

async function connect(secret: string, options: IClientOptions = {}): Promise<MqttClient> {
  const client = await connectAsync(
    url,
    { ca: authority.cert, username: 'anything', password: secret, reconnectPeriod: 0, ...options },
    false,
  );
  client.on('error', () => undefined);
  clients.push(client);
  return client;
}

async function reader(secret: string, filter: string | string[], options: IClientOptions = {}) {
  const client = await connect(secret, options);
  const heard: { topic: string; event: any }[] = [];
  client.on('message', (topic, payload) => heard.push({ topic, event: JSON.parse(payload.toString()) }));
  await client.subscribeAsync(filter, { qos: 1 });
  return { client, heard };
}

const tell = (fleet: string, type: string, subject: string, data: Record<string, unknown> = {}) =>
  db.database.transaction((tx) => outbox.append(tx, { fleet, type, subject, data }));

async function ended(client: MqttClient): Promise<void> {
  if (client.connected) await once(client as never, 'close', { signal: AbortSignal.timeout(5_000) });
}

async function refused(reason: string): Promise<number> {
  const text = await metrics.registry.getSingleMetricAsString('drover_mqtt_refused_total');
  return Number(new RegExp(`reason="${reason}"} (\\d+)`).exec(text)?.[1] ?? 0);
}

describe('the feed', () => {
  it('brings every event of the fleet after its commit, as the API has it, in order', async () => {
    const { heard } = await reader(secrets['default']!, 'drover-events/v1/default/#');
    await tell('default', 'device.online', 'd-1', { reason: 'status' });
    await tell('other', 'device.online', 'd-9');
    await tell('default', 'rollout.created', 'r-1');
    await tell('default', 'api-key.created', 'key_1');
    await tell('default', 'anomaly.opened', 'a-1', { device: 'd-1' });
    await eventually(() => expect(heard).toHaveLength(3));
    expect(heard.map(({ topic }) => topic)).toEqual([
      'drover-events/v1/default/d-1/device.online',
      'drover-events/v1/default/-/rollout.created',
      'drover-events/v1/default/d-1/anomaly.opened',
    ]);
    expect(heard[0]!.event).toEqual({
      id: expect.stringMatching(/^\d+-\d+$/),
      fleet: 'default',
      type: 'device.online',
      subject: 'd-1',
      at: expect.stringMatching(/Z$/),
      data: { reason: 'status' },
    });
  });

  it('does not tell of what is rolled back, or not committed yet', async () => {
    const { heard } = await reader(secrets['default']!, 'drover-events/v1/#');
    const rolledBack = db.database.transaction(async (tx) => {
      await outbox.append(tx, { fleet: 'default', type: 'device.online', subject: 'd-1' });
      throw new TypeError('not after all');
    });
    await expect(rolledBack).rejects.toThrow('not after all');
    await tell('default', 'device.online', 'd-2');
    await eventually(() => expect(heard).toHaveLength(1));
    expect(heard[0]!.event.subject).toBe('d-2');
  });

  it('shows a key its own fleet only, whatever the wildcards; the instance administrator sees all', async () => {
    const mine = await reader(secrets['default']!, ['drover-events/v1/#', 'drover-events/v1/+/+/device.online']);
    const theirs = await reader(secrets['other']!, 'drover-events/v1/#');
    const all = await reader(secrets['instance']!, 'drover-events/v1/#');
    await tell('default', 'device.online', 'd-1');
    await tell('other', 'device.online', 'd-9');
    await eventually(() => expect(all.heard).toHaveLength(2));
    await eventually(() => expect([mine.heard.length, theirs.heard.length]).toEqual([1, 1]));
    expect(mine.heard[0]!.event.subject).toBe('d-1');
    expect(theirs.heard[0]!.event.subject).toBe('d-9');
  });

  it('is read from the database only while somebody is connected', async () => {
    expect(broker.following).toBe(false);
    const first = await connect(secrets['default']!);
    const second = await reader(secrets['default']!, 'drover-events/v1/#');
    expect(broker.following).toBe(true);
    await first.endAsync();
    await tell('default', 'device.online', 'd-1');
    await eventually(() => expect(second.heard).toHaveLength(1));
    await second.client.endAsync();
    await eventually(() => expect(broker.following).toBe(false));
    await tell('default', 'device.online', 'd-2');
    const third = await reader(secrets['default']!, 'drover-events/v1/#');
    await tell('default', 'device.online', 'd-3');
    await eventually(() => expect(third.heard.map(({ event }) => event.subject)).toEqual(['d-3']));
  });

  it('cuts off a reader that does not read, and the others do not notice', async () => {
    const { heard } = await reader(secrets['default']!, 'drover-events/v1/#');
    const stalled = connectTls({ host: 'localhost', port: Number(new URL(url).port), ca: authority.cert });
    stalled.on('error', () => undefined);
    await once(stalled, 'secureConnect');
    const password = Buffer.from(secrets['default']!);
    stalled.write(
      generate({
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clean: true,
        clientId: 's',
        keepalive: 60,
        username: 'u',
        password,
      } as never),
    );
    await once(stalled, 'data');
    stalled.write(
      generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'drover-events/v1/#', qos: 1 }] } as never),
    );
    await once(stalled, 'data');
    stalled.pause();
    const text = 'x'.repeat(200_000);
    for (let i = 0; i < 60 && (await refused('slow')) === 0; i++)
      await tell('default', 'device.updated', `d-${i}`, { text });
    expect(await refused('slow')).toBe(1);
    const sent = heard.length;
    await tell('default', 'device.online', 'd-last');
    await eventually(() => expect(heard.at(-1)!.event.subject).toBe('d-last'));
    expect(heard.length).toBeGreaterThanOrEqual(sent);
    stalled.destroy();
  });
});

describe('a connection to the feed', () => {
  it.each([
    ['without a key', { password: undefined }],
    ['with a wrong key', { password: `drover_${'a'.repeat(43)}` }],
    ['with something else', { password: '\u0000' }],
  ])('is refused %s', async (_, options) => {
    await expect(connect('', options as IClientOptions)).rejects.toMatchObject({ code: 4 });
  });

  it.each(['#', '$SYS/#', 'drover/v1/#', 'drover-events/v1/other/#', '$share/g/drover-events/v1/default/#'])(
    'ends where it subscribes to %s',
    async (filter) => {
      const before = await refused('subscribe');
      const client = await connect(secrets['default']!);
      client.subscribe(filter);
      await ended(client);
      expect(await refused('subscribe')).toBe(before + 1);
    },
  );

  it('ends where it publishes, anywhere, and cannot leave a will', async () => {
    const listening = await reader(secrets['default']!, 'drover-events/v1/#');
    for (const topic of [
      'drover-events/v1/default/d-1/device.online',
      'drover/v1/default/d-1/twin/desired',
      '$SYS/x',
    ]) {
      const client = await connect(secrets['default']!);
      client.publish(topic, '{}');
      await ended(client);
    }
    const will = { topic: 'drover-events/v1/default/d-1/device.online', payload: Buffer.from('{}') };
    await expect(connect(secrets['default']!, { will })).rejects.toMatchObject({ code: 5 });
    await tell('default', 'device.online', 'd-end');
    await eventually(() => expect(listening.heard.map(({ event }) => event.subject)).toEqual(['d-end']));
  });

  it('cannot be thrown out by the same client id with another key; with the same key it is taken over', async () => {
    const mine = await connect(secrets['default']!, { clientId: 'grafana' });
    const theirs = await connect(secrets['other']!, { clientId: 'grafana' });
    const again = await connect(secrets['default']!, { clientId: 'grafana' });
    await ended(mine);
    expect([mine.connected, theirs.connected, again.connected]).toEqual([false, true, true]);
  });

  it('ends when its key is revoked, and when it expires', async () => {
    const revoked = await keys.create('default', { name: 'short', role: 'viewer' });
    const expiring = await keys.create('default', { name: 'short', role: 'viewer', expiresInDays: 1 });
    const [one, two, three] = await Promise.all([
      connect(revoked.secret),
      connect(expiring.secret),
      connect(secrets['default']!),
    ]);
    await keys.revoke({ fleet: 'default', instance: false }, revoked.id);
    await ended(one);
    await db.database.prisma.apiKey.update({
      where: { id: expiring.id },
      data: { expiresAt: new Date(Date.now() - 1) },
    });
    await ended(two);
    expect(three.connected).toBe(true);
    await expect(connect(revoked.secret)).rejects.toMatchObject({ code: 4 });
  });
});
