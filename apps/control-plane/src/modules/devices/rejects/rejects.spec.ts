import { silentLogger } from '@drover/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Config } from '../../../config/config.ts';
import { testDatabase } from '../../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../../platform/database/test-database.fixture.ts';
import { Metrics } from '../../../platform/metrics.ts';
import { RejectsUpkeep } from './rejects-upkeep.service.ts';
import { RejectsRepository } from './rejects.repository.ts';
import { RejectsService } from './rejects.service.ts';

let db: TestDatabase;
let metrics: Metrics;
let rejects: RejectsService;

beforeAll(async () => {
  db = await testDatabase();
  metrics = new Metrics();
  rejects = new RejectsService(new RejectsRepository(db.database), metrics);
});
afterAll(() => db.stop());

const of = (fleet: string, device: string, code: string, payload: Uint8Array = Buffer.from('{')) => ({
  fleet,
  device,
  topic: `drover/v1/${fleet}/${device}/status`,
  code,
  message: `online: expected boolean`,
  payload,
});

describe('rejects', () => {
  it('keep the beginning of what was refused, and its whole size', async () => {
    await rejects.add({
      ...of('default', 'd-1', 'too-long', Buffer.alloc(10_000, 1)),
      message: 'NUL \u0000 and \ud800',
    });
    const { items } = await rejects.list('default', { limit: 10, code: 'too-long' });
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({ device: 'd-1', sizeBytes: 10_000, message: 'NUL \ufffd and \ufffd' });
    expect(Buffer.from(items[0]!.payload, 'base64')).toEqual(Buffer.alloc(4096, 1));
  });

  it('are listed newest first, page by page, of one fleet only', async () => {
    // More than nine: as texts, numbers of two digits would come in between.
    await Promise.all(Array.from({ length: 12 }, () => rejects.add(of('default', 'd-2', 'invalid'))));
    await rejects.addMany([of('other', 'd-2', 'invalid'), of('default', 'd-3', 'invalid')]);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await rejects.list('default', { limit: 3, device: 'd-2', cursor });
      seen.push(...page.items.map((item) => item.id));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toHaveLength(12);
    expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => Number(b) - Number(a)));
    expect((await rejects.list('other', { limit: 50 })).items).toHaveLength(1);
  });

  it('are counted by code', async () => {
    await rejects.addMany([of('default', 'd-4', 'counted'), of('default', 'd-4', 'counted')]);
    expect(await metrics.registry.getSingleMetricAsString('drover_rejects_total')).toContain('code="counted"} 2');
  });

  it('refuse a cursor that no page gave out', async () => {
    await expect(rejects.list('default', { limit: 1, cursor: 'bm9uZQ' })).rejects.toMatchObject({
      code: 'invalid-input',
    });
    const huge = Buffer.from(JSON.stringify(['9'.repeat(19)])).toString('base64url');
    await expect(rejects.list('default', { limit: 1, cursor: huge })).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('are forgotten after a month', async () => {
    await rejects.add(of('default', 'd-5', 'old'));
    const upkeep = new RejectsUpkeep(new Config({}), new RejectsRepository(db.database), silentLogger);
    const day = 86_400_000;
    await upkeep.clean(Date.now() + 29 * day);
    expect((await rejects.list('default', { limit: 1, device: 'd-5' })).items).toHaveLength(1);
    await upkeep.clean(Date.now() + 31 * day);
    expect((await rejects.list('default', { limit: 1, device: 'd-5' })).items).toEqual([]);
  });
});
