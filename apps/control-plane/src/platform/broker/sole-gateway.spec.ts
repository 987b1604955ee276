import { silentLogger } from '@drover/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabase } from '../database/test-database.fixture.ts';
import type { TestDatabase } from '../database/test-database.fixture.ts';
import { eventually } from './eventually.fixture.ts';
import { SecondGatewayError, SoleGateway } from './sole-gateway.ts';

let db: TestDatabase;
beforeAll(async () => {
  db = await testDatabase();
});
afterAll(() => db.stop());

const gateway = () => new SoleGateway(db.connectionString, silentLogger, 300);

describe('the one gateway', () => {
  it('keeps a second one from starting, until it ends', async () => {
    const first = gateway();
    await first.acquire();
    await expect(gateway().acquire()).rejects.toThrow(SecondGatewayError);
    await first.release();
    const next = gateway();
    await next.acquire();
    await next.release();
  });

  it('remains the one when the database has cut its connection', async () => {
    const first = gateway();
    await first.acquire();
    const cut = await db.database.pool.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'drover-gateway'`,
    );
    expect(cut.rowCount).toBe(1);
    await eventually(async () => {
      const { rowCount } = await db.database.pool.query(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted`);
      expect(rowCount).toBe(1);
    }, 5_000);
    await expect(gateway().acquire()).rejects.toThrow(SecondGatewayError);
    await first.release();
  });
});
