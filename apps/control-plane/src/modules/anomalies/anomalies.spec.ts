import { anomalyQuerySchema, anomalyResourceSchema } from '@drover/contracts';
import type { Anomaly, AnomalyResource } from '@drover/contracts';
import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { testDatabase } from '../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../platform/database/test-database.fixture.ts';
import { DeviceRegistry } from '../devices/device-registry.service.ts';
import { DeviceRepository } from '../devices/device.repository.ts';
import { GroupRepository } from '../devices/group.repository.ts';
import { addDevices, deviceMessage, eventIngest } from '../telemetry/ingest/test-ingest.fixture.ts';
import { newsOf } from './anomaly-news.ts';
import { AnomalyRepository } from './anomaly.repository.ts';
import { AnomalyService } from './anomaly.service.ts';

const keys = (list: readonly AnomalyResource[], key: 'startedAt' | 'peakScore') => list.map((item) => item[key]);

const T0 = Date.UTC(2026, 10, 5);

function anomaly(id: string, revision: number, more: Partial<Anomaly> = {}): Anomaly {
  return {
    id,
    revision,
    pipeline: 'pump',
    state: 'open',
    startedAt: T0,
    endedAt: null,
    peakAt: T0 + 500,
    peakScore: 2.5,
    threshold: 1.25,
    windows: revision,
    contributions: [{ channel: 'pressure', share: 0.75 }],
    release: 'rel-1',
    variant: 'int8',
    variantDigest: 'a'.repeat(64),
    provider: 'cpu',
    calibrationVersion: null,
    rollout: null,
    ...more,
  };
}

describe('the news of an anomaly', () => {
  it.each([
    ['is its opening', null, { state: 'open', peakScore: 2 }, ['anomaly.opened']],
    [
      'is both when it is first heard of closed',
      null,
      { state: 'closed', peakScore: 2 },
      ['anomaly.opened', 'anomaly.closed'],
    ],
    ['is its end', { state: 'open', peakScore: 2 }, { state: 'closed', peakScore: 9 }, ['anomaly.closed']],
    [
      'is a peak that has grown notably',
      { state: 'open', peakScore: 2 },
      { state: 'open', peakScore: 2.6 },
      ['anomaly.revised'],
    ],
    ['is not a peak that has grown a little', { state: 'open', peakScore: 2 }, { state: 'open', peakScore: 2.4 }, []],
    ['is not a second end', { state: 'closed', peakScore: 2 }, { state: 'closed', peakScore: 2 }, []],
    [
      'is a negative peak that has risen',
      { state: 'open', peakScore: -4 },
      { state: 'open', peakScore: -2 },
      ['anomaly.revised'],
    ],
  ] as const)('%s', (_, known, revision, news) => {
    expect(newsOf(known, revision)).toEqual(news);
  });
});

describe('anomalies', () => {
  let db: TestDatabase;
  let ingest: ReturnType<typeof eventIngest>;
  let service: AnomalyService;

  beforeAll(async () => {
    db = await testDatabase();
    await addDevices(db.database, 'dev-a', 'dev-b');
  });
  afterAll(() => db.stop());
  beforeEach(async () => {
    await db.database.pool.query('TRUNCATE anomalies, events');
    ingest = eventIngest(db.database);
    const registry = new DeviceRegistry(
      db.database,
      new DeviceRepository(db.database),
      new GroupRepository(db.database),
      ingest.outbox,
    );
    service = new AnomalyService(ingest.registry, new AnomalyRepository(db.database), registry, ingest.outbox);
    service.onModuleInit();
  });

  let seq = 0;
  const send = (body: Anomaly, device = 'dev-a') =>
    ingest.events.handle(deviceMessage(device, 'e/anomaly', { bootId: 'boot', class: 'e', seq: ++seq, anomaly: body }));

  const events = async () =>
    (await db.database.prisma.event.findMany({ orderBy: { id: 'asc' } })).map(
      ({ type, subject }) => `${type} ${subject}`,
    );

  async function all(query: object, device?: string): Promise<AnomalyResource[]> {
    const items: AnomalyResource[] = [];
    let cursor: string | undefined;
    do {
      const parsed = anomalyQuerySchema.parse({ limit: 3, ...query, cursor });
      const page = await (device ? service.listOfDevice('default', device, parsed) : service.list('default', parsed));
      items.push(...page.items.map((item) => anomalyResourceSchema.parse(item)));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    return items;
  }

  it('come back as they were sent', async () => {
    const sent = anomaly('an-1', 1, {
      startedAt: T0 + 0.5,
      calibrationVersion: 3,
      rollout: 'ro-1',
      state: 'closed',
      endedAt: T0 + 9,
    });
    await send(sent);
    const got = await service.get('default', 'dev-a', 'an-1');
    expect(anomalyResourceSchema.parse(got)).toMatchObject({
      ...sent,
      startedAt: T0 + 1,
      device: 'dev-a',
      fleet: 'default',
    });
    await expect(service.get('other', 'dev-a', 'an-1')).rejects.toThrow('no anomaly');
    await expect(service.get('default', 'dev-b', 'an-1')).rejects.toThrow('no anomaly');
  });

  it('end at their highest revision, in whatever order and batches the revisions come, each told of once', async () => {
    const revisions = [1, 2, 3, 4].map((revision) =>
      anomaly('an', revision, revision === 4 ? { state: 'closed', endedAt: T0 + 100 } : {}),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray([...revisions, ...revisions], { minLength: 1 }),
        fc.integer({ min: 1, max: 4 }),
        async (sent, together) => {
          await db.database.pool.query('TRUNCATE anomalies, events');
          for (let i = 0; i < sent.length; i += together)
            await Promise.all(sent.slice(i, i + together).map((item) => send(item)));
          const highest = Math.max(...sent.map((item) => item.revision));
          const got = await service.get('default', 'dev-a', 'an');
          expect(got).toMatchObject({ revision: highest, state: highest === 4 ? 'closed' : 'open' });
          expect(await events()).toEqual(
            highest === 4 ? ['anomaly.opened an', 'anomaly.closed an'] : ['anomaly.opened an'],
          );
        },
      ),
      { numRuns: 30 },
    );
  });

  it('of two devices may have one id', async () => {
    await Promise.all([send(anomaly('an-1', 5)), send(anomaly('an-1', 2, { windows: 77 }), 'dev-b')]);
    expect((await service.get('default', 'dev-a', 'an-1')).revision).toBe(5);
    expect((await service.get('default', 'dev-b', 'an-1')).windows).toBe(77);
  });

  it('are filtered, sorted and paged by the server', async () => {
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        send(
          anomaly(`an-${i}`, 1, {
            startedAt: T0 + (i % 5) * 1_000,
            endedAt: i % 2 === 0 ? T0 + 10_000 : null,
            state: i % 2 === 0 ? 'closed' : 'open',
            peakScore: (i * 7) % 4,
            pipeline: i < 10 ? 'pump' : 'motor',
          }),
          i % 4 === 0 ? 'dev-b' : 'dev-a',
        ),
      ),
    );
    const stored = await all({});
    expect(stored).toHaveLength(20);
    expect(keys(stored, 'startedAt')).toEqual(keys(stored, 'startedAt').toSorted((a, b) => b - a));
    for (const sort of ['startedAt', 'peakScore'] as const) {
      const ascending = await all({ sort });
      expect(keys(ascending, sort)).toEqual(keys(stored, sort).toSorted((a, b) => a - b));
      expect(new Set(ascending.map((item) => item.id)).size).toBe(20);
      expect((await all({ sort: `-${sort}` })).toReversed().map((item) => item.id)).toEqual(
        ascending.map((item) => item.id),
      );
    }
    expect(await all({ state: 'open', pipeline: 'motor' })).toHaveLength(5);
    expect(await all({ device: 'dev-b' })).toHaveLength(5);
    expect(await all({}, 'dev-b')).toHaveLength(5);
    expect(await all({ release: 'rel-2' })).toHaveLength(0);
    // In part in the range: what has begun before its end and was not over before its beginning.
    expect(await all({ to: new Date(T0 + 1_000).toISOString() })).toHaveLength(4);
    expect(await all({ from: new Date(T0 + 20_000).toISOString() })).toHaveLength(10);
    await expect(all({}, 'dev-x')).rejects.toThrow('no device');
  });

  it('refuse a cursor of another sort', async () => {
    await Promise.all([send(anomaly('an-1', 1)), send(anomaly('an-2', 1))]);
    const { nextCursor } = await service.list('default', anomalyQuerySchema.parse({ limit: 1 }));
    const other = anomalyQuerySchema.parse({ limit: 1, sort: 'peakScore', cursor: nextCursor });
    await expect(service.list('default', other)).rejects.toThrow('cursor');
  });
});
