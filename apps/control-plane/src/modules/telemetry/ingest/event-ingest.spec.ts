import { deliverySchema } from '@drover/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Transaction } from '../../../platform/database/database.ts';
import { testDatabase } from '../../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../../platform/database/test-database.fixture.ts';
import { NotFoundError } from '../../../platform/http/errors.ts';
import type { IngestItem } from './ingest-registry.ts';
import { FLEET, addDevices, deviceMessage, eventIngest, storedRejects } from './test-ingest.fixture.ts';

const AT = Date.UTC(2026, 10, 5);

/** What a module above would register: writes the device's name and refuses what it is told to refuse. */
const nameSchema = deliverySchema.extend({ name: z.string(), refuse: z.boolean().default(false) });
type NameMessage = z.output<typeof nameSchema>;

async function writeNames(tx: Transaction, items: readonly IngestItem<NameMessage>[]) {
  for (const { fleet, device, message } of items.filter((item) => !item.message.refuse)) {
    await tx.device.update({ where: { fleetId_id: { fleetId: fleet, id: device } }, data: { name: message.name } });
  }
  const unknown = items.find((item) => item.message.name === 'nobody');
  if (unknown) throw NotFoundError.of('name', unknown.message.name);
  const refused = items.filter((item) => item.message.refuse);
  return refused.map((item) => ({ item, code: 'unwanted', reason: 'was told to' }));
}

describe('the ingest of events', () => {
  let db: TestDatabase;
  let ingest: ReturnType<typeof eventIngest>;

  beforeAll(async () => {
    db = await testDatabase();
    await addDevices(db.database, 'dev-a', 'dev-b');
  });
  afterAll(() => db.stop());
  beforeEach(async () => {
    await db.database.pool.query('TRUNCATE device_logs, benchmarks, rejects');
    ingest = eventIngest(db.database);
    ingest.registry.register('execution', { schema: nameSchema, write: writeNames });
  });

  const send = (device: string, type: string, content: object) =>
    ingest.events.handle(deviceMessage(device, `e/${type}`, { bootId: 'boot-1', class: 'e', ...content }));
  const log = (seq: number, message = 'text', device = 'dev-a') =>
    send(device, 'log', { seq, log: { at: AT, level: 'warn', code: 'disk-full', message, fields: { free: 1 } } });
  const benchmark = (seq: number) =>
    send('dev-a', 'benchmark', {
      seq,
      benchmark: {
        pipeline: 'pump',
        release: 'rel-1',
        variant: 'int8',
        variantDigest: 'a'.repeat(64),
        provider: 'cpu',
        runs: 100,
        p50Us: 20.5,
        p95Us: 30,
        p99Us: 40,
        at: AT,
      },
    });

  const logs = () => db.database.prisma.deviceLog.findMany({ orderBy: { seq: 'asc' } });

  it('stores log lines and benchmarks once, however often they come', async () => {
    await Promise.all([log(1), log(2), benchmark(3), log(1)]);
    await Promise.all([log(2), benchmark(3)]);
    expect((await logs()).map(({ seq, deviceId, code, fields }) => ({ seq, deviceId, code, fields }))).toEqual([
      { seq: 1n, deviceId: 'dev-a', code: 'disk-full', fields: { free: 1 } },
      { seq: 2n, deviceId: 'dev-a', code: 'disk-full', fields: { free: 1 } },
    ]);
    expect(await db.database.prisma.benchmark.findMany()).toMatchObject([
      { fleetId: FLEET, seq: 3n, releaseId: 'rel-1', p50Us: 20.5, at: new Date(AT) },
    ]);
  });

  it('keeps the order in which a device has written', async () => {
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => send('dev-a', 'execution', { seq: i + 1, name: `name ${i}` })),
    );
    expect((await db.database.prisma.device.findUnique({ where: { id: 'dev-a' } }))!.name).toBe('name 19');
  });

  it('sets aside what a writer refuses, what does not fit its schema and what nobody writes', async () => {
    await Promise.all([
      log(1),
      send('dev-a', 'execution', { seq: 2, name: 'x', refuse: true }),
      send('dev-a', 'execution', { seq: 3 }),
      send('dev-a', 'escalation', { seq: 4 }),
      send('dev-x', 'log', { seq: 5, log: { at: AT, level: 'info', code: 'c', message: 'm' } }),
      log(6),
    ]);
    const codes = (await storedRejects(db.database)).map(({ device, code }) => `${device} ${code}`).toSorted();
    expect(codes).toEqual(['dev-a invalid-message', 'dev-a unknown-event', 'dev-a unwanted', 'dev-x unknown-device']);
    expect((await logs()).map((row) => row.seq)).toEqual([1n, 6n]);
  });

  it('stores everything around the one event that the database can not hold', async () => {
    await log(1);
    await Promise.all(Array.from({ length: 30 }, (_, i) => log(i + 2, i === 17 ? 'zero \u0000 byte' : 'text')));
    expect((await logs()).length).toBe(30);
    const rejects = await storedRejects(db.database);
    expect(rejects.map((reject) => reject.code)).toEqual(['not-storable']);
    expect(rejects[0]!.message).toMatch(/^22/);
  });

  it('finds the one event that can not even be put into a statement', async () => {
    let deep: unknown = 1;
    for (let i = 0; i < 4_000; i++) deep = [deep];
    ingest.registry.register('escalation', {
      schema: deliverySchema.extend({ anything: z.unknown().optional() }),
      write: async (tx, items) => {
        const data = items.map(({ fleet, device, boot, message }) => ({
          bootId: boot,
          seq: message.seq,
          fleetId: fleet,
          deviceId: device,
          at: new Date(AT),
          level: 'info',
          code: 'c',
          message: 'm',
          fields: { anything: message.anything ?? null } as object,
        }));
        await tx.deviceLog.createMany({ data });
        return [];
      },
    });
    const startedAt = performance.now();
    await Promise.all(
      [1, 2, 3, 4].map((seq) => send('dev-a', 'escalation', { seq, ...(seq === 3 && { anything: deep }) })),
    );
    expect((await logs()).map((row) => row.seq)).toEqual([1n, 2n, 4n]);
    expect(await storedRejects(db.database)).toMatchObject([{ device: 'dev-a', code: 'not-storable' }]);
    // Nobody has waited as for a database that is away.
    expect(performance.now() - startedAt).toBeLessThan(4_000);
  });

  it('sets aside a log line whose fields are nested', async () => {
    await send('dev-a', 'log', {
      seq: 1,
      log: { at: AT, level: 'info', code: 'c', message: 'm', fields: { a: { b: 1 } } },
    });
    expect((await storedRejects(db.database)).map((reject) => reject.message)).toEqual([
      expect.stringContaining('log.fields.a'),
    ]);
    expect(await logs()).toEqual([]);
  });

  it('finds the one event for which its writer throws that it is wrong', async () => {
    const names = ['one', 'two', 'nobody', 'four'];
    await Promise.all(names.map((name, i) => send('dev-b', 'execution', { seq: i + 1, name })));
    expect(await storedRejects(db.database)).toMatchObject([{ device: 'dev-b', code: 'not-found' }]);
    expect((await db.database.prisma.device.findUnique({ where: { id: 'dev-b' } }))!.name).toBe('four');
  });

  it('loses nothing when its connections are cut', async () => {
    await log(1);
    const sending = Promise.all(
      Array.from({ length: 300 }, async (_, i) => {
        await new Promise((resolve) => setTimeout(resolve, i));
        await log(i + 2, 'text', i % 2 === 0 ? 'dev-a' : 'dev-b');
      }),
    );
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      await db.database.pool.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'drover-prisma'`,
      );
    }
    await sending;
    expect((await logs()).length).toBe(301);
    expect(await storedRejects(db.database)).toEqual([]);
  });
});
