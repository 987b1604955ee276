import { silentLogger } from '@drover/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Config } from '../../../config/config.ts';
import { testDatabase } from '../../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../../platform/database/test-database.fixture.ts';
import { addDevices, deviceMessage, measurementIngest } from '../ingest/test-ingest.fixture.ts';
import { expiredPartitions, monthsAround } from './partition-plan.ts';
import { PartitionRepository } from './partition.repository.ts';
import { TelemetryUpkeep } from './telemetry-upkeep.service.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 23);

describe('the plan of partitions', () => {
  it('has the months from the one before to two ahead, over the turn of a year', () => {
    expect(monthsAround(Date.UTC(2026, 11, 31, 23, 59)).map((month) => month.partition)).toEqual([
      'samples_2026_11',
      'samples_2026_12',
      'samples_2027_01',
      'samples_2027_02',
    ]);
    expect(monthsAround(Date.UTC(2027, 0, 1))[0]).toEqual({
      partition: 'samples_2026_12',
      from: '2026-12-01T00:00:00.000Z',
      to: '2027-01-01T00:00:00.000Z',
    });
  });

  it('gives up a month when its last instant is past the retention', () => {
    const partitions = ['samples_2026_08', 'samples_2026_09', 'samples_2026_10', 'samples_default', 'samples_old'];
    expect(expiredPartitions(partitions, NOW, 53 * DAY)).toEqual(['samples_2026_08', 'samples_2026_09']);
    expect(expiredPartitions(partitions, NOW, 53 * DAY + 1)).toEqual(['samples_2026_08']);
  });
});

describe('the upkeep of partitions', () => {
  let db: TestDatabase;
  let partitions: PartitionRepository;
  let ingest: ReturnType<typeof measurementIngest>;

  beforeAll(async () => {
    db = await testDatabase();
    await addDevices(db.database, 'dev-a');
    partitions = new PartitionRepository(db.database);
    ingest = measurementIngest(db.database);
  });
  afterAll(() => db.stop());

  const upkeep = (env: Record<string, string> = {}) => new TelemetryUpkeep(new Config(env), partitions, silentLogger);

  const send = (seq: number, t: number) =>
    ingest.measurements.handle(
      deviceMessage('dev-a', 'm/pump', { bootId: 'b', class: 'm', seq, t, channels: ['a'], values: [seq] }),
    );

  async function where(): Promise<Record<string, number[]>> {
    const { rows } = await db.database.pool.query<{ name: string; seqs: number[] }>(
      'SELECT tableoid::regclass::text AS name, array_agg(seq::int ORDER BY seq) AS seqs FROM samples GROUP BY 1',
    );
    return Object.fromEntries(rows.map((row) => [row.name, row.seqs]));
  }

  it('moves what is in the default partition already, while devices go on sending', async () => {
    await Promise.all([send(1, NOW), send(2, NOW - 40 * DAY), send(3, Date.UTC(2020, 2, 9))]);
    expect(await where()).toEqual({ samples_default: [1, 2, 3] });
    let seq = 10;
    const done = new AbortController();
    const traffic = (async () => {
      while (!done.signal.aborted) await send(seq++, NOW + seq);
    })();
    await Promise.all([upkeep().run(NOW), upkeep().run(NOW)]);
    done.abort();
    await traffic;
    const stored = await where();
    expect(stored.samples_default).toEqual([3]);
    expect(stored.samples_2026_10).toEqual([2]);
    expect(stored.samples_2026_11).toEqual([1, ...Array.from({ length: seq - 10 }, (_, i) => i + 10)]);
    expect(await partitions.list()).toEqual([
      'samples_2026_10',
      'samples_2026_11',
      'samples_2026_12',
      'samples_2027_01',
      'samples_default',
    ]);
  });

  it('knows a message again after its row has moved', async () => {
    await send(1, NOW);
    expect((await where()).samples_2026_11!.filter((seq) => seq === 1)).toEqual([1]);
  });

  it('drops whole months past the retention and keeps everything without one', async () => {
    await upkeep().run(NOW);
    expect(await partitions.list()).toHaveLength(5);
    await upkeep({ DROVER_RETENTION: '20d' }).run(NOW);
    expect(await partitions.list()).toEqual([
      'samples_2026_11',
      'samples_2026_12',
      'samples_2027_01',
      'samples_default',
    ]);
    const stored = await where();
    expect(stored.samples_2026_10).toBeUndefined();
    expect(stored.samples_2026_11!.length).toBeGreaterThan(0);
    // A recording of 2020 that was replayed just now.
    expect(stored.samples_default).toEqual([3]);
    await upkeep({ DROVER_RETENTION: '20d' }).run(Date.now() + 21 * DAY);
    expect((await where()).samples_default).toBeUndefined();
  });
});
