import { measurementQuerySchema, measurementsSchema, streamSchema } from '@drover/contracts';
import type { Measurements } from '@drover/contracts';
import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { testDatabase } from '../../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../../platform/database/test-database.fixture.ts';
import { addDevices, deviceMessage, measurementIngest } from '../ingest/test-ingest.fixture.ts';
import { MeasurementReader } from './measurement-reader.service.ts';
import { MeasurementRepository } from './measurement.repository.ts';
import { MeasurementService } from './measurement.service.ts';

const query = (more: object) => measurementQuerySchema.parse({ stream: 'pump', ...more });

const T0 = Date.UTC(2026, 10, 5, 12);

const at = (offset: number): string => new Date(T0 + offset).toISOString();

interface Sample {
  /** Milliseconds after T0. */
  readonly offset: number;
  readonly channels: readonly string[];
  readonly values: readonly (number | null)[];
}

describe('measurements', () => {
  let db: TestDatabase;
  let service: MeasurementService;
  let reader: MeasurementReader;
  let ingest: ReturnType<typeof measurementIngest>;

  beforeAll(async () => {
    db = await testDatabase();
    await addDevices(db.database, 'dev-a', 'dev-b');
    const repository = new MeasurementRepository(db.database);
    service = new MeasurementService(repository);
    reader = new MeasurementReader(repository);
  });
  afterAll(() => db.stop());
  beforeEach(() => reset());

  async function reset(): Promise<void> {
    await db.database.pool.query('TRUNCATE samples, streams CASCADE');
    ingest = measurementIngest(db.database);
  }

  async function store(samples: readonly Sample[], stream = 'pump'): Promise<void> {
    await Promise.all(
      samples.map(({ offset, channels, values }, i) => {
        const content = { bootId: 'boot', class: 'm', seq: i + 1, t: T0 + offset, channels, values };
        return ingest.measurements.handle(deviceMessage('dev-a', `m/${stream}`, content));
      }),
    );
  }

  /** All pages, each checked against the contract. */
  async function all(conditions: Record<string, unknown>): Promise<Measurements> {
    const rows: Measurements['rows'] = [];
    let cursor: string | undefined;
    let page: Measurements;
    do {
      const parsed = measurementQuerySchema.parse({ stream: 'pump', ...conditions, cursor });
      page = measurementsSchema.parse(await service.measurements('default', 'dev-a', parsed));
      expect(page.rows.length).toBeLessThanOrEqual(parsed.limit);
      rows.push(...page.rows);
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    return { ...page, rows };
  }

  it('come back as they were sent, in the order of time, by the page', async () => {
    const samples = Array.from({ length: 25 }, (_, i) => ({
      offset: (i * 7) % 25,
      channels: ['a', 'b'],
      values: [i, i % 3 === 0 ? null : -i],
    }));
    await store(samples);
    const { rows, channels } = await all({ limit: 10 });
    expect(channels).toEqual(['a', 'b']);
    const expected = samples
      .toSorted((x, y) => x.offset - y.offset)
      .map(({ offset, values }) => ({ at: at(offset), values }));
    expect(rows).toEqual(expected);
  });

  it('of one instant are neither skipped nor repeated between pages, whichever stream row they are in', async () => {
    await store(
      Array.from({ length: 30 }, (_, i) => ({
        offset: Math.floor(i / 12),
        channels: i % 2 === 0 ? ['a'] : ['a', 'b'],
        values: i % 2 === 0 ? [i] : [i, 1],
      })),
    );
    const { rows } = await all({ limit: 4 });
    expect(rows.map((row) => row.values![0]).toSorted((x, y) => x! - y!)).toEqual(
      Array.from({ length: 30 }, (_, i) => i),
    );
  });

  it('keep microseconds', async () => {
    await store([{ offset: 0.25, channels: ['a'], values: [1] }]);
    expect((await all({})).rows[0]!.at).toBe('2026-11-05T12:00:00.000250Z');
  });

  it('are chosen by channel and by time, the end excluded', async () => {
    await store(
      Array.from({ length: 10 }, (_, i) => ({
        offset: i * 1_000,
        channels: ['a', 'b', 'c'],
        values: [i, 10 * i, 100 * i],
      })),
    );
    const { rows, channels } = await all({ channels: 'c,a', from: at(2_000), to: at(4_000) });
    expect(channels).toEqual(['c', 'a']);
    expect(rows).toEqual([
      { at: at(2_000), values: [200, 2] },
      { at: at(3_000), values: [300, 3] },
    ]);
  });

  it('of a stream whose channels have changed are read as one', async () => {
    await store([{ offset: 0, channels: ['a', 'b'], values: [1, 2] }]);
    await store([{ offset: 1, channels: ['c', 'a'], values: [3, 4] }]);
    const { rows, channels } = await all({});
    expect(channels).toEqual(['a', 'b', 'c']);
    expect(rows.map((row) => row.values)).toEqual([
      [1, 2, null],
      [4, null, 3],
    ]);
    expect((await all({ step: 60 })).rows).toEqual([
      { at: at(0), count: [2, 1, 1], min: [1, 2, 3], max: [4, 2, 3], mean: [2.5, 2, 3] },
    ]);
  });

  it('are summed up per step as a naive computation does it', async () => {
    const channelSets = [['a', 'b'], ['b', 'c'], ['a']];
    const sample = fc.constantFrom(...channelSets).chain((channels) =>
      fc.record({
        offset: fc.double({ min: 0, max: 60_000, noNaN: true }),
        channels: fc.constant(channels),
        values: fc.array(fc.option(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 })), {
          minLength: channels.length,
          maxLength: channels.length,
        }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(sample, { minLength: 1, maxLength: 40 }),
        fc.constantFrom(0.5, 1, 7, 60, 3_600),
        fc.integer({ min: 1, max: 9 }),
        async (samples, step, limit) => {
          await reset();
          await store(samples);
          const { rows, channels } = await all({ step, limit });
          expect(rows).toEqual(naive(samples, channels, step));
        },
      ),
      { numRuns: 25 },
    );
  });

  it('jump over gaps of any length between steps', async () => {
    await store([0, 1, 86_400_000 * 400].map((offset) => ({ offset, channels: ['a'], values: [offset % 7] })));
    const { rows } = await all({ step: 1, limit: 1 });
    expect(rows.map((row) => row.count)).toEqual([[2], [1]]);
  });

  it('of an unknown device, stream or channel, or behind a foreign cursor, are an error that says so', async () => {
    await store([
      { offset: 0, channels: ['a'], values: [1] },
      { offset: 1, channels: ['a'], values: [1] },
    ]);
    await expect(service.measurements('default', 'dev-x', query({}))).rejects.toThrow('device "dev-x"');
    await expect(service.measurements('other', 'dev-a', query({}))).rejects.toThrow('device "dev-a"');
    await expect(service.measurements('default', 'dev-a', query({ stream: 'x' }))).rejects.toThrow('stream "x"');
    await expect(service.measurements('default', 'dev-a', query({ channels: 'z\u0000' }))).rejects.toThrow(
      'no channel',
    );
    const { nextCursor } = await service.measurements('default', 'dev-a', query({ limit: 1 }));
    await expect(service.measurements('default', 'dev-a', query({ cursor: nextCursor, step: 1 }))).rejects.toThrow(
      'cursor',
    );
    await store([{ offset: 0, channels: ['a'], values: [1] }], 'other');
    await expect(
      service.measurements('default', 'dev-a', query({ cursor: nextCursor, stream: 'other' })),
    ).rejects.toThrow('cursor');
  });

  it('make a list of streams, each with its channels and its first and last sample', async () => {
    await store([{ offset: 0, channels: ['a'], values: [1] }]);
    await store([{ offset: 5_000, channels: ['b'], values: [1] }]);
    await store([{ offset: 7, channels: ['x'], values: [1] }], 'engine');
    const { items } = await service.streams('default', 'dev-a');
    expect(items.map((item) => streamSchema.parse(item))).toEqual([
      { name: 'engine', channels: ['x'], firstAt: at(7), lastAt: at(7) },
      { name: 'pump', channels: ['a', 'b'], firstAt: at(0), lastAt: at(5_000) },
    ]);
    expect(await service.streams('default', 'dev-b')).toEqual({ items: [] });
  });

  it('are read in bulk, page after page, with NaN where a value is missing', async () => {
    const count = 12_000;
    const column = Array.from({ length: count }, (_, i) => (i % 1_000 === 999 ? null : i));
    await ingest.measurements.handle(
      deviceMessage('dev-a', 'm/pump', {
        bootId: 'b',
        class: 'm',
        seq: 1,
        t0: T0,
        dt: 0.5,
        channels: ['a', 'b'],
        columns: [column, column.toReversed()],
      }),
    );
    const table = await reader.load('default', { device: 'dev-a', stream: 'pump', from: at(1) }, 11_000);
    expect(table).toMatchObject({ channels: ['a', 'b'], rows: 11_000 });
    expect([...table.timesMs.subarray(0, 3)]).toEqual([T0 + 1, T0 + 1.5, T0 + 2]);
    expect([...table.values.subarray(0, 4)]).toEqual([2, count - 3, 3, count - 4]);
    expect(table.values[2 * (999 - 2)]).toBeNaN();
    let read = 0;
    for await (const { values } of reader.read('default', { device: 'dev-a', stream: 'pump', channels: ['b'] })) {
      expect(values.length).toBe(1);
      read += 1;
    }
    expect(read).toBe(count);
    await expect(reader.load('other', { device: 'dev-a', stream: 'pump' }, 1)).rejects.toThrow('stream');
  });
});

/** The same by hand. */
function naive(samples: readonly Sample[], channels: readonly string[], step: number): object[] {
  const stepUs = step * 1e6;
  const bins = new Map<number, number[][]>();
  for (const { offset, channels: own, values } of samples) {
    const us = Math.round((T0 + offset) * 1_000);
    const bin = Math.floor(us / stepUs) * stepUs;
    const cells = bins.get(bin) ?? channels.map(() => []);
    bins.set(bin, cells);
    own.forEach((name, i) => {
      const value = values[i]!;
      if (value !== null) cells[channels.indexOf(name)]!.push(value);
    });
  }
  return [...bins.entries()]
    .toSorted(([a], [b]) => a - b)
    .map(([bin, cells]) => ({
      at: new Date(bin / 1_000).toISOString(),
      count: cells.map((cell) => cell.length),
      min: cells.map((cell) => (cell.length === 0 ? null : closeTo(Math.min(...cell)))),
      max: cells.map((cell) => (cell.length === 0 ? null : closeTo(Math.max(...cell)))),
      mean: cells.map((cell) =>
        cell.length === 0
          ? null
          : (expect.closeTo(cell.reduce((sum, value) => sum + value, 0) / cell.length, 1) as number),
      ),
    }));
}

/** A float4 comes back in its shortest form, which is not the same double. */
function closeTo(value: number): number {
  return expect.closeTo(value, 1) as number;
}
