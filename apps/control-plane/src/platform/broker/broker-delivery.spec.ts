import { once } from 'node:events';
import { deviceTopics } from '@drover/contracts';
import type { MqttClient } from 'mqtt';
import { generate } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { eventually } from './eventually.fixture.ts';
import { testBroker } from './broker.fixture.ts';
import type { TestBroker } from './broker.fixture.ts';
import { ConnectionCongestedError } from './mqtt-connection.ts';

let test: TestBroker;
const mine = deviceTopics('default', 'd-1');
const foreign = deviceTopics('default', 'd-2');

beforeEach(async () => {
  test = await testBroker();
  await test.enrol('default', 'd-1');
  await test.enrol('default', 'd-2');
});
afterEach(() => test.stop());

function inbox(client: MqttClient): { topic: string; text: string; retain: boolean }[] {
  const messages: { topic: string; text: string; retain: boolean }[] = [];
  client.on('message', (topic, payload, { retain }) => messages.push({ topic, text: payload.toString(), retain }));
  return messages;
}

async function subscribed(device: string): Promise<{ client: MqttClient; messages: ReturnType<typeof inbox> }> {
  const topics = deviceTopics('default', device);
  const client = await test.connect(device);
  const messages = inbox(client);
  await client.subscribeAsync([topics.desired, topics.ack, topics.allCommands, topics.allChunks], { qos: 1 });
  return { client, messages };
}

describe('an acknowledgement', () => {
  it('is written when the message is committed, not before', async () => {
    let commit: (() => void) | undefined;
    test.onMessage = () => new Promise((resolve) => (commit = resolve));
    const client = await test.connect('d-1');
    const acknowledged = vi.fn();
    const published = client.publishAsync(mine.measurements('s'), '{"a":1}', { qos: 1 }).then(acknowledged);
    await eventually(() => expect(test.received).toHaveLength(1));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(acknowledged).not.toHaveBeenCalled();
    commit!();
    await published;
    expect(test.received[0]).toMatchObject({
      topic: mine.measurements('s'),
      parsed: { kind: 'measurement', stream: 's' },
      will: false,
    });
    expect(Buffer.from(test.received[0]!.payload).toString()).toBe('{"a":1}');
  });

  it('comes for many messages in flight, each handled once and in order; at every quality of service', async () => {
    const client = await test.connect('d-1');
    const count = 500;
    await Promise.all(
      Array.from({ length: count }, (_, i) =>
        client.publishAsync(mine.measurements('s'), `{"i":${i}}`, { qos: i % 100 === 0 ? 2 : 1 }),
      ),
    );
    await client.publishAsync(mine.measurements('s'), '{"i":500}', { qos: 0 });
    await eventually(() => expect(test.received).toHaveLength(count + 1));
    expect(test.received.map(({ payload }) => JSON.parse(Buffer.from(payload).toString()).i)).toEqual(
      Array.from({ length: count + 1 }, (_, i) => i),
    );
  });

  it('says by its counters what came', async () => {
    const client = await test.connect('d-1');
    await client.publishAsync(mine.measurements('s'), '{}', { qos: 1 });
    await eventually(async () => {
      const text = await test.metrics.registry.metrics();
      expect(text).toContain('drover_mqtt_received_total{listener="device-mqtt",kind="measurement"} 1');
      expect(text).toContain('drover_mqtt_connections{listener="device-mqtt"} 1');
      expect(text).toContain('drover_mqtt_connects_total{listener="device-mqtt"} 1');
    });
  });
});

describe('what the server sends', () => {
  it('reaches the device that the topic names, and no other', async () => {
    const one = await subscribed('d-1');
    const two = await subscribed('d-2');
    await test.broker.publish(mine.ack, Buffer.from('{"mode":"puback"}'));
    await test.broker.publish(mine.command('erase', 'c-1'), Buffer.from('{"c":1}'), { qos: 1 });
    await test.broker.publish(foreign.chunk('a'.repeat(64), 0), Buffer.from('bytes'), { qos: 0 });
    await eventually(() => expect(one.messages.length + two.messages.length).toBe(3));
    expect(one.messages.map(({ topic }) => topic)).toEqual([mine.ack, mine.command('erase', 'c-1')]);
    expect(two.messages.map(({ topic }) => topic)).toEqual([foreign.chunk('a'.repeat(64), 0)]);
  });

  it('is not for a device of the same id in another fleet', async () => {
    const { messages } = await subscribed('d-1');
    await test.broker.publish(deviceTopics('other', 'd-1').ack, Buffer.from('{}'));
    await test.broker.publish(mine.ack, Buffer.from('{"own":true}'));
    await eventually(() => expect(messages).toHaveLength(1));
    expect(messages[0]!.text).toBe('{"own":true}');
  });

  it('is dropped where the device is away or has not subscribed', async () => {
    await test.broker.publish(mine.ack, Buffer.from('{}'));
    const client = await test.connect('d-1');
    const messages = inbox(client);
    await client.subscribeAsync(mine.ack);
    await test.broker.publish(mine.command('erase', 'c-1'), Buffer.from('{}'));
    await client.unsubscribeAsync(mine.ack);
    await test.broker.publish(mine.ack, Buffer.from('{}'));
    await client.subscribeAsync(mine.allChunks);
    await test.broker.publish(mine.chunk('b'.repeat(64), 1), Buffer.from('end'));
    await eventually(() => expect(messages).toHaveLength(1));
    expect(messages[0]!.text).toBe('end');
  });

  it('can be retained: the newest document waits for the subscription, marked as retained', async () => {
    await test.broker.publish(mine.desired, Buffer.from('{"v":1}'), { retain: true });
    await test.broker.publish(mine.desired, Buffer.from('{"v":2}'), { retain: true });
    const { messages } = await subscribed('d-1');
    await test.broker.publish(mine.desired, Buffer.from('{"v":3}'), { retain: true });
    await eventually(() => expect(messages).toHaveLength(2));
    expect(messages).toEqual([
      { topic: mine.desired, text: '{"v":2}', retain: true },
      { topic: mine.desired, text: '{"v":3}', retain: false },
    ]);
  });

  it('never goes out on a topic that devices publish', async () => {
    await expect(test.broker.publish(mine.status, Buffer.from('{}'))).rejects.toMatchObject({
      code: 'topic-not-servers',
    });
  });

  it('to a device that does not read is refused at a bound, and nobody else waits', async () => {
    const stalled = await test.open('d-1');
    stalled.write(
      generate({
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clean: true,
        clientId: 'd-1',
        keepalive: 60,
      } as never),
    );
    await once(stalled, 'data');
    stalled.write(
      generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: mine.allChunks, qos: 1 }] } as never),
    );
    await once(stalled, 'data');
    stalled.pause();
    const chunk = Buffer.alloc(60_000, 1);
    const sends = Promise.allSettled(
      Array.from({ length: 400 }, (_, i) => test.broker.publish(mine.chunk('c'.repeat(64), i), chunk, { qos: 1 })),
    );
    const other = await subscribed('d-2');
    await test.broker.publish(foreign.ack, Buffer.from('{}'));
    await eventually(() => expect(other.messages).toHaveLength(1));
    stalled.destroy();
    const refused = (await sends).filter((result) => result.status === 'rejected');
    expect(refused.length).toBeGreaterThan(300);
    expect(refused.every((result) => result.reason instanceof ConnectionCongestedError)).toBe(true);
  });

  it('to a device that does not read for too long ends the connection', async () => {
    const strict = await testBroker({ drainTimeoutMs: 100 });
    await strict.enrol('default', 'd-1');
    const stalled = await strict.open('d-1');
    stalled.write(
      generate({
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clean: true,
        clientId: 'd-1',
        keepalive: 60,
      } as never),
    );
    await once(stalled, 'data');
    stalled.write(
      generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: mine.allChunks, qos: 1 }] } as never),
    );
    await once(stalled, 'data');
    stalled.pause();
    const chunk = Buffer.alloc(60_000, 1);
    await Promise.allSettled(
      Array.from({ length: 400 }, (_, i) => strict.broker.publish(mine.chunk('c'.repeat(64), i), chunk, { qos: 1 })),
    );
    await eventually(() => expect(strict.broker.isConnected('d-1')).toBe(false));
    expect(await strict.refused('stalled')).toBe(1);
    stalled.destroy();
    await strict.stop();
  });
});

describe('the same device connecting again', () => {
  it('takes over, and the will of the connection that it replaces is not published', async () => {
    const will = { topic: mine.status, payload: Buffer.from('{"online":false}'), qos: 1 as const, retain: true };
    const first = await test.connect('d-1', { will });
    const ended = once(first as never, 'close');
    const { messages } = await subscribed('d-1');
    await ended;
    await test.broker.publish(mine.ack, Buffer.from('{}'));
    await eventually(() => expect(messages).toHaveLength(1));
    expect(test.broker.isConnected('d-1')).toBe(true);
    expect(test.received).toEqual([]);
  });

  it('many times at once leaves one connection, which can be reached', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => test.connect('d-1').catch(() => undefined)));
    await eventually(() => expect(clients.filter((client) => client?.connected)).toHaveLength(1));
    const last = clients.find((client) => client?.connected)!;
    const messages = inbox(last);
    await last.subscribeAsync(mine.ack);
    await test.broker.publish(mine.ack, Buffer.from('{}'));
    await eventually(() => expect(messages).toHaveLength(1));
  });

  it('with clean=0 finds no session: nothing was kept for it', async () => {
    const first = await test.connect('d-1', { clean: false });
    await first.subscribeAsync([mine.ack, mine.desired], { qos: 1 });
    await first.endAsync();
    await test.broker.publish(mine.ack, Buffer.from('{}'), { qos: 1 });
    const again = await test.connect('d-1', { clean: false });
    const messages = inbox(again);
    await test.broker.publish(mine.ack, Buffer.from('{}'), { qos: 1 });
    await again.subscribeAsync(mine.allChunks);
    await test.broker.publish(mine.chunk('d'.repeat(64), 0), Buffer.from('end'));
    await eventually(() => expect(messages.at(-1)?.text).toBe('end'));
    expect(messages).toHaveLength(1);
  });
});

describe('a revoked device', () => {
  it('is dropped at once, what was sent before still arrives, and what was retained is gone', async () => {
    const { client, messages } = await subscribed('d-1');
    const ended = once(client as never, 'close');
    await test.broker.publish(mine.desired, Buffer.from('{"v":1}'), { retain: true });
    await test.broker.publish(mine.command('erase', 'c-1'), Buffer.from('{}'));
    test.distrust('d-1');
    await test.broker.purge('default', 'd-1');
    await ended;
    expect(messages.map(({ topic }) => topic)).toEqual([mine.desired, mine.command('erase', 'c-1')]);
    expect(test.broker.isConnected('d-1')).toBe(false);
    await expect(test.connect('d-1')).rejects.toMatchObject({ code: 5 });
    await test.enrol('default', 'd-1');
    const again = await subscribed('d-1');
    await test.broker.publish(mine.ack, Buffer.from('end'));
    await eventually(() => expect(again.messages.map(({ text }) => text)).toEqual(['end']));
  });

  it('is not acknowledged what it sends from then on', async () => {
    let commit: (() => void) | undefined;
    test.onMessage = () => new Promise((resolve) => (commit = resolve));
    const client = await test.connect('d-1');
    const acknowledged = vi.fn();
    client.publish(mine.measurements('s'), '{}', { qos: 1 }, acknowledged);
    await eventually(() => expect(test.received).toHaveLength(1));
    test.distrust('d-1');
    const purged = test.broker.purge('default', 'd-1');
    client.publish(mine.measurements('s'), '{}', { qos: 1 }, acknowledged);
    commit!();
    await purged;
    expect(test.received).toHaveLength(1);
  });

  it('does not slip in where it was recognised just before the revocation', async () => {
    let recognise: (() => void) | undefined;
    const principal = { fleet: 'default', device: 'd-1', certificateSerial: '1' };
    const answers = [new Promise<typeof principal>((resolve) => (recognise = () => resolve(principal)))];
    test.identity.provide({ authenticate: async () => (await answers.shift()) ?? null });
    const outcome = expect(test.connect('d-1')).rejects.toMatchObject({ code: 5 });
    await eventually(() => expect(answers).toEqual([]));
    await test.broker.purge('default', 'd-1');
    recognise!();
    await outcome;
    expect(await test.refused('revoked')).toBe(1);
  });

  it('stays where it has come back with a new certificate already', async () => {
    test.distrust('d-1');
    await test.enrol('default', 'd-1');
    const { client, messages } = await subscribed('d-1');
    await test.broker.purge('default', 'd-1');
    await test.broker.publish(mine.ack, Buffer.from('{}'));
    await eventually(() => expect(messages).toHaveLength(1));
    expect(client.connected).toBe(true);
  });

  it('of another fleet is not meant', async () => {
    await test.connect('d-1');
    await eventually(() => expect(test.broker.isConnected('d-1')).toBe(true));
    await test.broker.purge('other', 'd-1');
    expect(test.broker.isConnected('d-1')).toBe(true);
  });
});

describe('the server', () => {
  it('uses a renewed certificate for new connections and keeps the others', async () => {
    const before = await test.connect('d-1');
    const next = await test.authority.server();
    test.identity.setMaterial({ key: next.key, cert: next.cert + test.authority.cert, ca: [test.authority.cert] });
    const socket = await test.open('d-2');
    expect(socket.getPeerX509Certificate()!.serialNumber.toLowerCase()).toBe(next.serial);
    socket.destroy();
    await before.publishAsync(mine.measurements('s'), '{}', { qos: 1 });
    expect(test.received).toHaveLength(1);
  });

  it('says which setting to change where its port is taken', async () => {
    await expect(testBroker({ port: test.port })).rejects.toMatchObject({
      code: 'port-unavailable',
      message: expect.stringContaining('DROVER_MQTT_PORT'),
    });
  });

  it('has no plain listener unless it is asked for; then a device says who it is, and the same rules hold', async () => {
    expect(test.listeners.url('development-mqtt')).toBeUndefined();
    const development = await testBroker({
      developmentPort: 0,
      findDevelopmentDevice: async (username) =>
        username === 'default/d-1' ? { fleet: 'default', device: 'd-1', certificateSerial: 'development' } : null,
    });
    const url = new URL(development.listeners.url('development-mqtt')!);
    expect(url.hostname).toBe('127.0.0.1');
    const { connectAsync } = await import('mqtt');
    const options = { clientId: 'd-1', username: 'default/d-1', reconnectPeriod: 0 };
    const client = await connectAsync(url.href, options, false);
    await client.publishAsync(mine.measurements('s'), '{}', { qos: 1 });
    expect(development.received).toHaveLength(1);
    await expect(connectAsync(url.href, { ...options, username: 'other/d-1' }, false)).rejects.toMatchObject({
      code: 5,
    });
    await expect(connectAsync(url.href, { ...options, clientId: 'd-2' }, false)).rejects.toMatchObject({ code: 2 });
    client.end(true);
    await development.stop();
  });

  it('stops without publishing the wills of those who will be back', async () => {
    const will = { topic: mine.status, payload: Buffer.from('{"online":false}'), qos: 1 as const };
    const client = await test.connect('d-1', { will });
    const ended = once(client as never, 'close');
    await test.broker.stop();
    await ended;
    expect(test.received).toEqual([]);
  });
});
