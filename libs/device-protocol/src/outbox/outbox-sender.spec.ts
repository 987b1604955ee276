import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DeliveryClass } from '@drover/contracts';
import { Backoff } from '@drover/runtime';
import { DeviceConnection } from '../connection/device-connection.ts';
import { TestAuthority } from '../fixtures/test-authority.ts';
import { TestBroker, until } from '../fixtures/test-broker.ts';
import { MemoryOutbox } from './memory-outbox.ts';
import type { Outbox } from './outbox.ts';
import { OutboxSender } from './outbox-sender.ts';
import type { OutboxSenderOptions } from './outbox-sender.ts';
import { SqliteOutbox } from './sqlite-outbox.ts';

let authority: TestAuthority;
let broker: TestBroker;
let folder: string;
const stops: (() => unknown)[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sender-'));
  authority = await TestAuthority.create();
  broker = new TestBroker(authority);
  await broker.start();
});
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
  await broker.kill();
  rmSync(folder, { recursive: true });
});

/** An agent's side: starts with a new boot on the same file, as after a restart. */
async function device(bootId: string, options: Partial<OutboxSenderOptions> = {}) {
  const outbox = new SqliteOutbox({ path: join(folder, 'outbox.db'), bootId, maxBytes: 64 * 2 ** 20 });
  outbox.start();
  const connection = await connect(bootId);
  const sender = new OutboxSender({ outbox, connection, ...options });
  sender.start();
  const stop = async (): Promise<void> => {
    sender.stop();
    await connection.stop();
    outbox.stop();
  };
  stops.push(stop);
  return { outbox, connection, sender, stop };
}

async function connect(bootId: string): Promise<DeviceConnection> {
  const identity = await broker.identity('d-1');
  const connection = new DeviceConnection({ identity, bootId, agentVersion: '1', backoff: new Backoff(10, 50) });
  connection.start();
  return connection;
}

function put(outbox: Outbox, name: DeliveryClass, count: number): void {
  for (let n = 0; n < count; n += 1) outbox.put({ class: name, topic: `drover/v1/main/d-1/${TOPIC[name]}`, body: {} });
}
const TOPIC = { m: 'm/pump', e: 'e/log', s: 'twin/reported' } as const;

const keyOf = (value: Record<string, unknown>): string => `${value['bootId']}:${value['class']}:${value['seq']}`;
const committedKeys = (): string[] => broker.committed.map(({ value }) => keyOf(value));
const numbersOf = (name: DeliveryClass): number[] =>
  broker.committed.filter(({ value }) => value['class'] === name).map(({ value }) => Number(value['seq']));
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

function assertNothingRemovedEarly(outbox: Outbox): void {
  outbox.flush();
  const stored = new Set(
    ['m', 'e'].flatMap((name) => outbox.read(name as DeliveryClass, 0, 1e6, 1e9).map(keyOf as never)),
  );
  const committed = new Set(committedKeys());
  const highest = { m: 0, e: 0 };
  for (const key of [...stored, ...committed] as string[]) {
    const [, name, seq] = key.split(':') as [string, 'm' | 'e', string];
    highest[name] = Math.max(highest[name], Number(seq));
  }
  for (const name of ['m', 'e'] as const) {
    for (let seq = 1; seq <= highest[name]; seq += 1) {
      const key = `boot-1:${name}:${seq}`;
      expect(stored.has(key) || committed.has(key), `${key} is neither stored nor committed`).toBe(true);
    }
  }
}

describe('sending from an outbox', () => {
  it('empties it where PUBACK is the commit, in order per class, and also what comes later', async () => {
    const { outbox } = await device('boot-1');
    put(outbox, 'm', 500);
    put(outbox, 'e', 20);
    await until('all is sent and removed', () => outbox.status().pending === 0);
    put(outbox, 's', 3);
    await until('the rest too', () => outbox.status().pending === 0);
    expect(numbersOf('m')).toEqual(upTo(500));
    expect(numbersOf('e')).toEqual(upTo(20));
    expect(numbersOf('s')).toEqual(upTo(3));
  });

  it('removes nothing as long as the server does not say what a PUBACK is worth', async () => {
    broker.mode = null;
    const { outbox, connection, sender } = await device('boot-1', { maxInFlight: 16 });
    put(outbox, 'm', 100);
    await until('a window is sent', () => broker.committed.length === 16);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(broker.committed).toHaveLength(16);
    expect(sender.inFlight).toBe(16);
    expect(outbox.status().pending).toBe(100);
    await broker.acknowledge(connection.topics.prefix, { mode: 'puback' });
    await until('it goes on', () => outbox.status().pending === 0);
    expect(numbersOf('m')).toEqual(upTo(100));
  });

  it('removes only what the server confirms where PUBACK is transport', async () => {
    broker.mode = 'ack';
    const { outbox, connection } = await device('boot-1', { maxInFlight: 60, maxUnconfirmed: 60 });
    put(outbox, 'm', 200);
    put(outbox, 'e', 5);
    await until('a window is sent', () => broker.committed.length === 60);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(outbox.status().pending).toBe(205);
    const { prefix } = connection.topics;
    await broker.acknowledge(prefix, { bootId: 'boot-1', committed: { e: [[1, 5]], m: [[1, 40]] } });
    await until('those are gone and more is sent', () => broker.committed.length === 105);
    expect(outbox.status().pending).toBe(160);
    await broker.acknowledge(prefix, { bootId: 'boot-1', committed: { m: [[42, 100]] } });
    await until('the next are sent', () => broker.committed.length === 164);
    await broker.acknowledge(prefix, { bootId: 'boot-1', committed: { m: [[101, 159]] } });
    await until('all are sent', () => broker.committed.length === 205);
    await broker.acknowledge(prefix, { bootId: 'boot-1', committed: { m: [[160, 200]] } });
    await until('one is left', () => outbox.status().pending === 1);
    expect(numbersOf('m')).toEqual(upTo(200));
    expect(outbox.read('m', 0, 10, 1e6).map(({ seq }) => seq)).toEqual([41]);
  });

  it('sends again what a confirmation never came for', async () => {
    broker.mode = 'ack';
    const { outbox, connection } = await device('boot-1', { resendAfterMs: 100 });
    put(outbox, 'm', 3);
    await until('they were sent twice', () => broker.committed.length >= 6);
    expect(numbersOf('m').slice(0, 6)).toEqual([1, 2, 3, 1, 2, 3]);
    await broker.acknowledge(connection.topics.prefix, { bootId: 'boot-1', committed: { m: [[1, 3]] } });
    await until('they are removed', () => outbox.status().pending === 0);
  });

  it('lets events overtake a backlog of measurements', async () => {
    await broker.kill();
    const { outbox, connection } = await device('boot-1', { maxInFlight: 32 });
    put(outbox, 'm', 5_000);
    put(outbox, 'e', 2);
    outbox.flush();
    await broker.start();
    await connection.whenOnline();
    await until('some are there', () => broker.committed.length > 100);
    put(outbox, 'e', 1);
    outbox.flush();
    const before = broker.committed.length;
    await until('the event is there', () => numbersOf('e').length === 3);
    expect(committedKeys().slice(0, 2)).toEqual(['boot-1:e:1', 'boot-1:e:2']);
    expect(committedKeys().indexOf('boot-1:e:3')).toBeLessThan(before + 2 * 32 + 64);
    expect(outbox.status().pending).toBeGreaterThan(1_000);
  });

  it('loses nothing and removes nothing early while the broker is killed again and again', async () => {
    let live = true;
    // Between the commit and its acknowledgement anything may happen: some time passes, and some connections end there.
    broker.beforeCommit = async () => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
      if (!live) throw new TypeError('the database is gone');
    };
    const { outbox } = await device('boot-1', { maxInFlight: 20 });
    const total = 3_000;
    let produced = 0;
    const producer = setInterval(() => {
      if (produced < total) put(outbox, produced % 100 === 0 ? 'e' : 'm', 10);
      produced += 10;
    }, 1);
    stops.push(() => clearInterval(producer));
    for (let kill = 0; kill < 5; kill += 1) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      live = kill % 2 === 0;
      await broker.kill();
      assertNothingRemovedEarly(outbox);
      live = true;
      await broker.start();
    }
    await until('everything is committed', () => produced >= total && outbox.status().pending === 0, 15_000);
    const distinct = new Set(committedKeys());
    expect(distinct.size).toBe(total);
    expect(new Set(numbersOf('m')).size + new Set(numbersOf('e')).size).toBe(total);
  });

  it('sends after a restart what an earlier boot left, with its numbers', async () => {
    broker.mode = null;
    const first = await device('boot-1');
    put(first.outbox, 'm', 5);
    await until('sent', () => broker.committed.length === 5);
    await first.stop();
    broker.committed.length = 0;
    broker.mode = 'puback';
    const second = await device('boot-2');
    put(second.outbox, 'm', 2);
    await until('all committed', () => second.outbox.status().pending === 0);
    expect(committedKeys()).toEqual([...upTo(5).map((n) => `boot-1:m:${n}`), 'boot-2:m:1', 'boot-2:m:2']);
  });

  it('works the same from memory, for simulators', async () => {
    const outbox = new MemoryOutbox({ bootId: 'sim-1' });
    const connection = await connect('sim-1');
    const sender = new OutboxSender({ outbox, connection });
    stops.push(
      () => connection.stop(),
      () => sender.stop(),
    );
    sender.start();
    put(outbox, 'm', 300);
    await until('all is committed', () => outbox.status().pending === 0);
    broker.dropConnections();
    put(outbox, 'm', 300);
    await until('the rest too', () => outbox.status().pending === 0);
    expect([...new Set(numbersOf('m'))]).toEqual(upTo(600));
  });
});
