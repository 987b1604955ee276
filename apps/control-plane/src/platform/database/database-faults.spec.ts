import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { problemOf } from '../http/problem.ts';
import { Database } from './database.ts';
import { databaseFaultOf, isDatabaseAway, sqlStateOf } from './database-faults.ts';
import { testDatabase } from './test-database.fixture.ts';
import type { TestDatabase } from './test-database.fixture.ts';

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new TypeError('it did not fail');
}

describe('what fails in the database', () => {
  let db: TestDatabase;
  beforeAll(async () => {
    db = await testDatabase();
  });
  afterAll(() => db.stop());

  const thrownBy = (sql: string): Promise<unknown>[] => [
    failureOf(db.database.pool.query(sql)),
    failureOf(db.database.prisma.$queryRawUnsafe(sql)),
    failureOf(db.database.transaction((tx) => tx.$queryRawUnsafe(sql))),
  ];

  it.each([
    [`SELECT '99999999999'::int`, '22003', 'data', 400],
    [`SELECT '0000-01-01'::date`, '22008', 'data', 400],
    [
      `INSERT INTO api_keys (id, fleet_id, name, role, prefix, hash) VALUES ('k', 'none', '', 'viewer', '', '')`,
      '23503',
      'data',
      409,
    ],
    [`SELECT pg_terminate_backend(pg_backend_pid())`, '57P01', 'transient', 503],
    [`SELECT nothing FROM nowhere`, '42P01', 'defect', 500],
  ])('%s is %s, however it was asked', async (sql, sqlState, fault, status) => {
    for (const thrown of await Promise.all(thrownBy(sql))) {
      // A connection that is cut is sometimes only that, without the server's last words.
      if (sqlStateOf(thrown) !== undefined || status !== 503) expect(sqlStateOf(thrown)).toBe(sqlState);
      expect(databaseFaultOf(thrown)).toBe(fault);
      expect(isDatabaseAway(thrown)).toBe(fault === 'transient');
      expect(problemOf(thrown).status).toBe(status);
    }
  });

  it.each(['postgresql://nobody@127.0.0.1:1/none', 'postgresql://nobody@localhost/none?host=/nowhere'])(
    'a server that is not there (%s) is away, however it was asked',
    async (url) => {
      const away = new Database(url, 4);
      const asked = [away.ping(), away.prisma.fleet.findMany(), away.transaction((tx) => tx.fleet.findMany())];
      for (const thrown of await Promise.all(asked.map(failureOf))) {
        expect(isDatabaseAway(thrown), String(thrown)).toBe(true);
        expect(problemOf(thrown)).toMatchObject({ status: 503, code: 'unavailable' });
      }
      await away.stop();
    },
  );

  it('a mistake of our own is none of the database', () => {
    for (const thrown of [new TypeError('x'), new RangeError('x'), Object.assign(new Error('x'), { code: 'ENOENT' })]) {
      expect(isDatabaseAway(thrown)).toBe(false);
      expect(problemOf(thrown).status).toBe(500);
    }
  });
});
