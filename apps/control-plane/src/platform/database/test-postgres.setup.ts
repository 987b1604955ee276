import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import 'reflect-metadata';
import { silentLogger } from '@drover/runtime';
import { EmbeddedPostgres } from './embedded/embedded-postgres.ts';
import { removeDatabase } from './embedded/database-location.ts';
import { migrate } from './migrate.ts';
import { MIGRATIONS_FOLDER } from './migrations-folder.ts';
import { TEMPLATE_URL_VARIABLE } from './test-database.fixture.ts';

/**
 * One PostgreSQL for all unit tests of a run, with a migrated database that each test copies: a copy takes a fraction of what
 * a server of its own would.
 */
export async function setup(): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'drover-test-'));
  const postgres = new EmbeddedPostgres({ dataDir, logger: silentLogger });
  const { connectionString } = await postgres.start();
  await migrate({ connectionString, migrationsFolder: MIGRATIONS_FOLDER, logger: silentLogger });
  process.env[TEMPLATE_URL_VARIABLE] = connectionString;
  return async () => {
    await postgres.stop();
    await removeDatabase(dataDir);
    await rm(dataDir, { recursive: true, force: true });
  };
}
