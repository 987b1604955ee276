import { encodeCbor } from '@drover/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { testDatabase } from '../../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../../platform/database/test-database.fixture.ts';
import { addDevices, deviceMessage, measurementIngest, storedRejects } from './test-ingest.fixture.ts';

const T0 = Date.UTC(2026, 10, 5);

interface StoredSample {
  device: string;
  stream: string;
  boot: string;
  at_us: string;
  seq: string;
  idx: number;
  values: (number | null)[];
}

describe('the ingest of measurements', () => {
  let db: TestDatabase;
  let ingest: ReturnType<typeof measurementIngest>;

  beforeAll(async () => {
    db = await testDatabase();
    await addDevices(db.database, 'dev-a', 'dev-b');
  });
  afterAll(() => db.stop());
  beforeEach(async () => {
    await db.database.pool.query('TRUNCATE samples, rejects');
    ingest = measurementIngest(db.database);
  });

  const send = (device: string, seq: number, more: object = {}, boot = 'boot-1') =>
    ingest.measurements.handle(
      deviceMessage(device, 'm/pump', {
        bootId: boot,
        class: 'm',
        seq,
        t: T0 + seq,
        channels: ['a', 'b'],
        values: [seq, -seq],
        ...more,
      }),
    );

  async function stored(): Promise<StoredSample[]> {
    const { rows } = await db.database.pool.query<StoredSample>(
      `SELECT st.device_id AS device, st.name AS stream, b.boot_id AS boot, (extract(epoch FROM s.at) * 1000000)::int8 AS at_us, s.seq, s.idx, s."values"
         FROM samples s JOIN streams st ON st.id = s.stream_id JOIN boots b ON b.id = s.boot_id ORDER BY device, boot, seq, idx`,
    );
    return rows;
  }

  it('has stored a sample when its promise resolves, with its time to the microsecond and its gaps', async () => {
    await send('dev-a', 7, { t: T0 + 0.25, values: [1.5, null] });
    expect(await stored()).toEqual([
      {
        device: 'dev-a',
        stream: 'pump',
        boot: 'boot-1',
        at_us: String(T0 * 1_000 + 250),
        seq: '7',
        idx: 0,
        values: [1.5, null],
      },
    ]);
  });

  it('stores a message once, however often and however close together it is sent', async () => {
    await Promise.all([send('dev-a', 1), send('dev-a', 1), send('dev-a', 2)]);
    await send('dev-a', 1);
    await send('dev-a', 1, {}, 'boot-2');
    expect((await stored()).map(({ boot, seq }) => `${boot}:${seq}`)).toEqual(['boot-1:1', 'boot-1:2', 'boot-2:1']);
    expect(await ingest.metrics.registry.getSingleMetricAsString('drover_ingest_duplicates_total')).toMatch(/ 2$/m);
  });

  it('expands a columnar batch, in JSON and in CBOR, evenly spaced or with a time each', async () => {
    const columns = [
      [1, 2, null],
      [4, null, 6],
    ];
    const even = { bootId: 'b', class: 'm', seq: 1, t0: T0, dt: 0.5, channels: ['a', 'b'], columns };
    const timed = { bootId: 'b', class: 'm', seq: 2, times: [T0, T0 + 3, T0 + 1], channels: ['a', 'b'], columns };
    await ingest.measurements.handle(deviceMessage('dev-a', 'm/pump', even));
    await ingest.measurements.handle(deviceMessage('dev-a', 'm/pump', encodeCbor(timed)));
    const rows = await stored();
    const values = [
      [1, 4],
      [2, null],
      [null, 6],
    ];
    expect(rows.map((row) => row.values)).toEqual([...values, ...values]);
    expect(rows.map((row) => (Number(row.at_us) - T0 * 1_000) / 1_000)).toEqual([0, 0.5, 1, 0, 3, 1]);
    expect(rows.map((row) => row.idx)).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it('keeps extreme but valid content exactly', async () => {
    const far = 8_640_000_000_000_000;
    await send('dev-a', Number.MAX_SAFE_INTEGER, { t: 0, values: [3.4e38, 1e-60] });
    await send('dev-a', 1, { t: far, values: [], channels: ['a'] }).catch(() => undefined);
    await send('dev-a', 2, { t: far, values: [-0.1, 16_777_216] });
    const rows = await stored();
    expect(rows.map((row) => row.seq)).toEqual(['2', String(Number.MAX_SAFE_INTEGER)]);
    expect(rows[0]!.at_us).toBe(String(far * 1_000));
    expect(rows[0]!.values).toEqual([-0.1, 16_777_216]);
    expect(rows[1]!.values).toEqual([3.4e38, 0]);
  });

  it('sets invalid content aside and goes on with what is beside it', async () => {
    await Promise.all([
      send('dev-a', 1),
      ingest.measurements.handle(deviceMessage('dev-a', 'm/pump', Buffer.from('{nonsense'))),
      send('dev-a', 2, { values: ['x', 1] }),
      send('dev-a', 3),
    ]);
    expect((await stored()).map((row) => row.seq)).toEqual(['1', '3']);
    expect((await storedRejects(db.database)).map(({ device, code }) => `${device} ${code}`)).toEqual([
      'dev-a invalid-message',
      'dev-a invalid-message',
    ]);
    expect((await storedRejects(db.database))[1]!.message).toMatch(/^values/);
  });

  it('sets aside what the database can not hold: names with a zero byte, devices that do not exist', async () => {
    await send('dev-a', 1, { channels: ['a\u0000', 'b'] });
    await send('dev-x', 1);
    await send('dev-a', 2);
    expect((await storedRejects(db.database)).map((reject) => reject.code)).toEqual(['not-storable', 'unknown-device']);
    expect((await stored()).map((row) => row.seq)).toEqual(['2']);
  });

  it('finds the one row that the database refuses and stores the others of its batch', async () => {
    await send('dev-a', 1_000);
    await db.database.pool.query('ALTER TABLE samples ADD CONSTRAINT no_thirteen CHECK (seq <> 13)');
    try {
      await Promise.all(Array.from({ length: 40 }, (_, i) => send(i % 2 === 0 ? 'dev-a' : 'dev-b', i + 1)));
    } finally {
      await db.database.pool.query('ALTER TABLE samples DROP CONSTRAINT no_thirteen');
    }
    expect((await stored()).length).toBe(40);
    expect((await storedRejects(db.database)).map(({ code, message }) => `${code} ${message}`)).toEqual([
      expect.stringMatching(/^not-storable 23514.*no_thirteen/),
    ]);
  });

  it('loses nothing and stores nothing twice when its connections are cut in the middle of batches', async () => {
    await send('dev-a', 1);
    let cut = 0;
    const admin = db.database.prisma;
    const sending = Array.from({ length: 3_000 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i / 8));
      await send(i % 2 === 0 ? 'dev-a' : 'dev-b', i + 2);
    });
    const done = Promise.all(sending);
    for (let i = 0; i < 8; i++) {
      await new Promise((resolve) => setTimeout(resolve, 40));
      const killed = await admin.$queryRaw<
        object[]
      >`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'drover' AND pid <> pg_backend_pid()`;
      cut += killed.length;
    }
    await done;
    // The last cut may not have reached the pool's idle connections yet.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(cut).toBeGreaterThan(0);
    const rows = await stored();
    expect(rows.length).toBe(3_001);
    expect(new Set(rows.map((row) => `${row.device} ${row.seq}`)).size).toBe(3_001);
  });
});
