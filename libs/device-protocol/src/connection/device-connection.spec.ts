import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeJson, statusMessageSchema } from '@drover/contracts';
import { Backoff } from '@drover/runtime';
import type { TwinOrder } from '@drover/trust';
import { ConnectionRefusedError, InsecureUrlError, NotConnectedError, ServerUntrustedError } from '../errors.ts';
import { TestAuthority } from '../fixtures/test-authority.ts';
import { TestBroker, until } from '../fixtures/test-broker.ts';
import { DeviceConnection } from './device-connection.ts';
import type { DeviceConnectionOptions } from './device-connection.ts';

let authority: TestAuthority;
let broker: TestBroker;
const connections: DeviceConnection[] = [];

beforeEach(async () => {
  authority = await TestAuthority.create();
  broker = new TestBroker(authority);
  await broker.start();
});
afterEach(async () => {
  await Promise.all(connections.splice(0).map((connection) => connection.stop()));
  await broker.kill();
});

async function connect(options: Partial<DeviceConnectionOptions> = {}): Promise<DeviceConnection> {
  const connection = new DeviceConnection({
    identity: await broker.identity('d-1'),
    bootId: 'boot-1',
    agentVersion: '1.2.3',
    backoff: new Backoff(10, 50),
    ...options,
  });
  connections.push(connection);
  connection.start();
  return connection;
}

describe('a device connection', () => {
  it('announces itself, with the desired document it has seen, and says goodbye when stopped', async () => {
    let seen: TwinOrder | null = null;
    const connection = await connect({ desiredSeen: () => seen });
    await connection.whenOnline();
    await until('the status is there', () => broker.statuses.has('d-1'));
    expect(statusMessageSchema.parse(broker.statuses.get('d-1'))).toMatchObject({
      online: true,
      bootId: 'boot-1',
      agent: '1.2.3',
    });
    seen = { epoch: 1, version: 5 };
    connection.announce();
    await until('the new one too', () => broker.statuses.get('d-1')!['desiredSeen'] !== undefined);
    expect(broker.statuses.get('d-1')).toMatchObject({ online: true, desiredSeen: seen });
    await connection.stop();
    expect(broker.statuses.get('d-1')).toMatchObject({ online: false, bootId: 'boot-1' });
    expect(connection.online).toBe(false);
  });

  it('leaves a will: the broker says offline when the device is gone without a word', async () => {
    const connection = await connect({ backoff: new Backoff(60_000, 60_000) });
    await connection.whenOnline();
    await until('the status is there', () => broker.statuses.get('d-1')?.['online'] === true);
    broker.dropConnections();
    await until('the will is published', () => broker.statuses.get('d-1')?.['online'] === false);
    expect(statusMessageSchema.parse(broker.statuses.get('d-1')).bootId).toBe('boot-1');
  });

  it('gives what the server sends as typed events, and ignores what is malformed', async () => {
    const connection = await connect();
    await connection.whenOnline();
    const { topics } = connection;
    const next = async (
      event: 'desired' | 'command' | 'chunk' | 'ack' | 'invalid',
      topic: string,
      bytes: Uint8Array,
    ) => {
      const arrived = once(connection as never, event);
      await broker.send(topic, bytes);
      return (await arrived)[0] as Record<string, unknown>;
    };
    await once(connection as never, 'ack');
    const bytes = Buffer.from('{"a":1}');
    expect(await next('desired', topics.desired, bytes)).toEqual(bytes);
    expect(await next('command', topics.command('erase', 'c-1'), bytes)).toEqual({ type: 'erase', id: 'c-1', bytes });
    const digest = 'ab'.repeat(32);
    expect(await next('chunk', topics.chunk(digest, 60), bytes)).toEqual({ digest, offset: 60, bytes });
    expect(await next('ack', topics.ack, encodeJson({ bootId: 'b', committed: { m: [[1, 5]] } }))).toEqual({
      bootId: 'b',
      committed: { m: [[1, 5]] },
    });
    const malformed = await next('invalid', topics.ack, encodeJson({ mode: 'perhaps' }));
    expect(malformed['topic']).toBe(topics.ack);
    expect(connection.online).toBe(true);
  });

  it('comes back after the broker was killed and started again', async () => {
    const connection = await connect();
    await connection.whenOnline();
    await broker.kill();
    await until('the loss is noticed', () => !connection.online);
    await expect(connection.publish(connection.topics.reported, encodeJson({}), { qos: 1 })).rejects.toThrow(
      NotConnectedError,
    );
    await broker.start();
    await connection.whenOnline(AbortSignal.timeout(5_000));
    await connection.publish(connection.topics.reported, encodeJson({ n: 1 }), { qos: 1 });
    expect(broker.committed.map(({ value }) => value)).toEqual([{ n: 1 }]);
  });

  it('calls back about every publish exactly once, with an error where the connection was lost first', async () => {
    const connection = await connect();
    await connection.whenOnline();
    let arrived = 0;
    broker.beforeCommit = () => {
      arrived += 1;
      return new Promise(() => undefined);
    };
    const results: (string | null)[] = [];
    for (let n = 0; n < 5; n += 1) {
      connection.send(connection.topics.reported, encodeJson({ n }), { qos: 1 }, (error) =>
        results.push(error && error.name),
      );
    }
    await until('they have arrived', () => arrived === 5);
    broker.dropConnections();
    await until('all have failed', () => results.length === 5);
    expect(new Set(results)).toEqual(new Set(['ConnectionLostError']));
  });

  it('tries its addresses in turn', async () => {
    const failed: string[] = [];
    const connection = new DeviceConnection({
      identity: await broker.identity('d-1'),
      urls: ['mqtts://localhost:1', broker.url],
      bootId: 'b',
      agentVersion: '1',
    });
    connections.push(connection);
    connection.on('failed', ({ url }) => failed.push(url));
    connection.start();
    await connection.whenOnline(AbortSignal.timeout(5_000));
    expect(failed).toEqual(['mqtts://localhost:1']);
  });

  it('does not talk to a server of another authority, nor under another name', async () => {
    const other = await TestAuthority.create('Other');
    const identity = await broker.identity('d-1');
    const stranger = await connect({ identity: { ...identity, authorities: [other.pem] } });
    const [first] = (await once(stranger as never, 'failed')) as [{ error: Error }];
    expect(first.error).toBeInstanceOf(ServerUntrustedError);
    const misnamed = await connect({ urls: [`mqtts://127.0.0.1:${broker.port}`] });
    const [second] = (await once(misnamed as never, 'failed')) as [{ error: Error }];
    expect(second.error).toBeInstanceOf(ServerUntrustedError);
    expect(broker.statuses.size).toBe(0);
  });

  it('reports that the broker refuses it, and goes on trying', async () => {
    const identity = { ...(await broker.identity('d-1')), device: 'd-2' };
    const connection = await connect({ identity });
    const errors: Error[] = [];
    connection.on('failed', ({ error }) => errors.push(error));
    await until('it tried again', () => errors.length >= 2);
    expect(errors[0]).toBeInstanceOf(ConnectionRefusedError);
    expect(errors[1]).toMatchObject({ returnCode: 5 });
  });

  it('takes a renewed identity by connecting anew', async () => {
    const connection = await connect();
    await connection.whenOnline();
    const offline = once(connection as never, 'offline');
    await connection.useIdentity(await broker.identity('d-1'));
    await offline;
    await connection.whenOnline(AbortSignal.timeout(5_000));
    await connection.publish(connection.topics.reported, encodeJson({}), { qos: 1 });
  });

  it('renews its presence while nothing else is sent', async () => {
    const connection = await connect({ heartbeatMs: 30 });
    await connection.whenOnline();
    await until('a first status', () => broker.statuses.has('d-1'));
    const first = Number(broker.statuses.get('d-1')!['at']);
    await until('a later one', () => Number(broker.statuses.get('d-1')!['at']) > first + 50);
  });

  it('stops at once while it waits to try again, or tries', async () => {
    const connection = await connect({ urls: ['mqtts://localhost:1'], backoff: new Backoff(60_000, 60_000) });
    await once(connection as never, 'failed');
    const before = performance.now();
    await connection.stop();
    expect(performance.now() - before).toBeLessThan(1_000);
  });

  it('goes without TLS on this machine only', async () => {
    const connection = await connect({ urls: ['mqtt://192.0.2.1:1883'] });
    const [{ error }] = (await once(connection as never, 'failed')) as [{ error: Error }];
    expect(error).toBeInstanceOf(InsecureUrlError);
  });
});
