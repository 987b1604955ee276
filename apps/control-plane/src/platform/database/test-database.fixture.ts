import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import 'reflect-metadata';
import { silentLogger } from '@drover/runtime';
import { Database } from './database.ts';
import { EmbeddedPostgres } from './embedded/embedded-postgres.ts';
import { NoticeListener } from './listener.ts';
import { migrate } from './migrate.ts';
import { MIGRATIONS_FOLDER } from './migrations-folder.ts';

export interface TestDatabase {
  readonly database: Database;
  readonly listener: NoticeListener;
  readonly connectionString: string;
  readonly postgres: EmbeddedPostgres;
  stop(): Promise<void>;
}

/** A real PostgreSQL of its own with the present schema and the fleets `default` and `other`. */
export async function testDatabase(): Promise<TestDatabase> {
  const dataDir = await mkdtemp(join(tmpdir(), 'drover-test-'));
  const postgres = new EmbeddedPostgres({ dataDir, logger: silentLogger });
  const { connectionString } = await postgres.start();
  await migrate({ connectionString, migrationsFolder: MIGRATIONS_FOLDER, logger: silentLogger });
  const database = new Database(connectionString, 8);
  await database.prisma.instance.create({ data: {} });
  await database.prisma.fleet.createMany({
    data: [
      { id: 'default', name: 'Default' },
      { id: 'other', name: 'Other' },
    ],
  });
  const listener = new NoticeListener(connectionString, silentLogger);
  listener.start();
  return {
    database,
    listener,
    connectionString,
    postgres,
    stop: async () => {
      await listener.stop();
      await database.stop();
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
