import { once } from 'node:events';
import { deviceTopics } from '@drover/contracts';
import type { MqttClient } from 'mqtt';
import { generate } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { eventually } from './eventually.fixture.ts';
import { testBroker } from './broker.fixture.ts';
import type { TestBroker } from './broker.fixture.ts';
import { TestAuthority } from './certificates.fixture.ts';

let test: TestBroker;
const mine = deviceTopics('default', 'd-1');
const foreign = deviceTopics('default', 'd-2');

beforeEach(async () => {
  test = await testBroker();
  await test.enrol('default', 'd-1');
  await test.enrol('default', 'd-2');
});
afterEach(() => test.stop());

/** Waits for the connection's end; fails where it stays. */
async function closed(client: MqttClient): Promise<void> {
  if (client.connected) await once(client as never, 'close', { signal: AbortSignal.timeout(5_000) });
}

const willOn = (topic: string, retain = false) => ({
  topic,
  payload: Buffer.from('{"online":false}'),
  qos: 1 as const,
  retain,
});

describe('who may connect', () => {
  it('a device with its certificate, under its own id', async () => {
    const client = await test.connect('d-1');
    expect(client.connected).toBe(true);
    await eventually(() => expect(test.broker.isConnected('d-1')).toBe(true));
    expect(test.broker.isConnected('d-2')).toBe(false);
  });

  it('nobody without a certificate, or with one of a foreign authority', async () => {
    const foreigner = await (await TestAuthority.create()).device('d-1');
    await expect(test.connect('d-1', { certificate: foreigner })).rejects.toThrow();
    await expect(test.connect('d-1', { key: undefined, cert: undefined } as never)).rejects.toThrow();
    await eventually(async () => expect(await test.refused('tls')).toBe(2));
  });

  it('nobody whose certificate is not trusted any more', async () => {
    test.distrust('d-1');
    await expect(test.connect('d-1')).rejects.toMatchObject({ code: 5 });
    expect(await test.refused('certificate')).toBe(1);
  });

  it('no device under the id of another, and the other one stays connected', async () => {
    const victim = await test.connect('d-2');
    await expect(test.connect('d-1', { clientId: 'd-2' })).rejects.toMatchObject({ code: 2 });
    await expect(
      test.connect('d-1', { clientId: 'd-2', will: { topic: foreign.status, payload: Buffer.from('{}') } }),
    ).rejects.toMatchObject({ code: 2 });
    await victim.publishAsync(foreign.measurements('s'), '{}', { qos: 1 });
    expect(test.broker.isConnected('d-2')).toBe(true);
    expect(test.received.map(({ will, principal }) => ({ will, device: principal.device }))).toEqual([
      { will: false, device: 'd-2' },
    ]);
    expect(await test.refused('client-id')).toBe(2);
  });

  it('no device without a client id, in a clean session or not', async () => {
    for (const clean of [2, 0]) {
      const socket = await test.open('d-1');
      // CONNECT, MQTT 3.1.1, keep-alive of 10 s, a client id of no characters.
      socket.write(Buffer.from([0x10, 12, 0, 4, ...Buffer.from('MQTT'), 4, clean, 0, 10, 0, 0]));
      const ended = once(socket, 'close');
      socket.resume();
      await ended;
    }
    expect(test.received).toEqual([]);
    await eventually(async () => expect(await test.refused('client-id')).toBe(2));
  });

  it('no device without a keep-alive, or with one that is too long', async () => {
    for (const keepalive of [0, 20_000]) await expect(test.connect('d-1', { keepalive })).rejects.toThrow();
    await eventually(async () => expect(await test.refused('keepalive-limit')).toBe(2));
  });

  it('no client of a protocol that the broker does not speak', async () => {
    await expect(test.connect('d-1', { protocolVersion: 5, connectTimeout: 2_000 })).rejects.toThrow();
    await eventually(async () => expect(await test.refused('protocol-version')).toBe(1));
  });

  it('nobody while it cannot be told who it is', async () => {
    test.identity.provide({ authenticate: async () => Promise.reject(new TypeError('the database is away')) });
    await expect(test.connect('d-1')).rejects.toMatchObject({ code: 3 });
  });

  it('nobody who takes too long', async () => {
    const slow = await testBroker({ connectTimeoutMs: 50 });
    await slow.enrol('default', 'd-1');
    const socket = await slow.open('d-1');
    socket.resume();
    await once(socket, 'close');
    await eventually(async () => expect(await slow.refused('connect-timeout')).toBe(1));
    await slow.stop();
  });

  it('a device whose certificate expires while it is connected does not stay', async () => {
    await test.enrol('default', 'd-3', 1_000);
    const client = await test.connect('d-3');
    await closed(client);
    expect(await test.refused('expired')).toBe(1);
  });
});

describe('a will', () => {
  it('on the own status is published when the connection breaks', async () => {
    const client = await test.connect('d-1', { will: willOn(mine.status, true) });
    client.stream.destroy();
    await eventually(() => expect(test.received).toHaveLength(1));
    expect(test.received[0]).toMatchObject({ topic: mine.status, will: true, principal: { device: 'd-1' } });
  });

  it('is not published after a goodbye', async () => {
    const client = await test.connect('d-1', { will: willOn(mine.status) });
    await client.endAsync();
    await eventually(() => expect(test.broker.isConnected('d-1')).toBe(false));
    expect(test.received).toEqual([]);
  });

  it('on a topic that the device may not publish is refused with the connection', async () => {
    const topics = [foreign.status, mine.desired, mine.ack, '$SYS/x', 'drover/v1/other/d-1/status', `${mine.prefix}/+`];
    for (const topic of topics)
      await expect(test.connect('d-1', { will: willOn(topic) })).rejects.toMatchObject({ code: 5 });
    await expect(test.connect('d-1', { will: willOn(mine.measurements('s'), true) })).rejects.toMatchObject({
      code: 5,
    });
    expect(await test.refused('will')).toBe(topics.length + 1);
    expect(test.received).toEqual([]);
  });
});

describe('what a device may publish', () => {
  it.each([
    ['the status of another', foreign.status],
    ['measurements of another', foreign.measurements('s')],
    ['what only the server says', mine.desired],
    ['a chunk', mine.chunk('a'.repeat(64), 0)],
    ["the broker's own topics", '$SYS/broker/clients'],
    ['the feed of integrations', 'drover-events/v1/default/d-1/anomaly'],
    ['a shared name', `$share/g/${mine.status}`],
    ['anything else', 'whatever'],
    ['a stream whose name is none', `${mine.prefix}/m/a b`],
    ['a topic that is too long', `${mine.prefix}/m/${'x'.repeat(600)}`],
    ['a topic that is too deep', `${mine.prefix}${'/x'.repeat(200)}`],
  ])('not %s: the connection ends, and nothing is handled', async (_, topic) => {
    const client = await test.connect('d-1');
    client.publish(topic, '{}', { qos: 1 });
    await closed(client);
    expect(test.received).toEqual([]);
    await eventually(async () => expect((await test.refused('publish')) + (await test.refused('protocol'))).toBe(1));
  });

  it('only its status may be retained', async () => {
    const client = await test.connect('d-1');
    await client.publishAsync(mine.status, '{}', { qos: 1, retain: true });
    client.publish(mine.measurements('s'), '{}', { qos: 1, retain: true });
    await closed(client);
    expect(test.received.map(({ topic }) => topic)).toEqual([mine.status]);
    expect(await test.refused('retain')).toBe(1);
  });

  it('nothing larger than the limit, which is noticed before the packet is collected', async () => {
    const socket = await test.open('d-1');
    socket.write(
      generate({
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clean: true,
        clientId: 'd-1',
        keepalive: 10,
      } as never),
    );
    await once(socket, 'data');
    const ended = once(socket, 'close');
    // The fixed header of a PUBLISH of 50 MB, and not one byte more.
    socket.write(Buffer.from([0x32, 0x80, 0xe1, 0xeb, 0x17]));
    await ended;
    expect(await test.refused('oversized')).toBe(1);
  });

  it('nothing at all before its CONNECT, and no large CONNECT', async () => {
    const rude = await test.open('d-1');
    rude.resume();
    rude.write(generate({ cmd: 'publish', topic: mine.status, payload: '{}', qos: 0, dup: false, retain: false }));
    await once(rude, 'close');
    expect(await test.refused('no-connect')).toBe(1);
    await expect(
      test.connect('d-1', { will: { topic: mine.status, payload: Buffer.alloc(60_000) } }),
    ).rejects.toThrow();
    expect(await test.refused('oversized')).toBe(1);
  });
});

describe('what a device may subscribe to', () => {
  it.each([
    ['everything', '#'],
    ['everything of its own', `${mine.prefix}/#`],
    ['all devices', 'drover/v1/default/+/twin/desired'],
    ['another device', foreign.desired],
    ['what devices say', mine.status],
    ['a share', `$share/g/${mine.desired}`],
    ["the broker's own topics", '$SYS/#'],
    ['the feed of integrations', 'drover-events/v1/#'],
  ])('not to %s: the connection ends', async (_, filter) => {
    const client = await test.connect('d-1');
    client.subscribe(filter, { qos: 1 });
    await closed(client);
    expect(await test.refused('subscribe')).toBe(1);
  });

  it('to what the server sends it, as often as it likes, but not to endlessly many filters', async () => {
    const client = await test.connect('d-1');
    for (let i = 0; i < 100; i++) await client.subscribeAsync(mine.allCommands);
    for (let i = 0; i < 70 && client.connected; i++) client.subscribe(mine.command('renew', `c-${i}`));
    await closed(client);
    expect(await test.refused('subscriptions')).toBe(1);
  });
});

describe('an error inside', () => {
  it('while a message is committed ends the connection, not the process, and the message is not acknowledged', async () => {
    test.onMessage = async () => Promise.reject(new TypeError('the database is away'));
    const client = await test.connect('d-1');
    const acknowledged = vi.fn();
    client.publish(mine.measurements('s'), '{}', { qos: 1 }, acknowledged);
    await closed(client);
    expect(acknowledged).not.toHaveBeenCalled();
    test.onMessage = async () => undefined;
    const again = await test.connect('d-1');
    await again.publishAsync(mine.measurements('s'), '{}', { qos: 1 });
    expect(test.received).toHaveLength(2);
    expect(await test.refused('not-committed')).toBe(1);
  });

  it('such as bytes that are no MQTT ends the connection only', async () => {
    const other = await test.connect('d-2');
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff]),
      Buffer.from([0x10, 0x02, 0, 0]),
    ]) {
      const socket = await test.open('d-1');
      socket.resume();
      socket.write(bytes);
      await once(socket, 'close');
    }
    await other.publishAsync(foreign.measurements('s'), '{}', { qos: 1 });
    expect(test.received).toHaveLength(1);
  });
});
