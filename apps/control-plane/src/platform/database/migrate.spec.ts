import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { silentLogger } from '@drover/runtime';
import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { removeDatabase } from './embedded/database-location.ts';
import { EmbeddedPostgres } from './embedded/embedded-postgres.ts';
import { migrate, readMigrations } from './migrate.ts';
import {
  DataOfNewerVersionError,
  DatabaseUnreachableError,
  ForeignDatabaseError,
  InvalidMigrationError,
  MigrationFailedError,
} from './migration-errors.ts';
import { missingSql, withSchemaEngine } from './schema-engine.ts';

const ofTheProject = fileURLToPath(new URL('../../../../../prisma/migrations', import.meta.url));

const SCHEMA =
  'datasource db {\n  provider = "postgresql"\n}\nmodel Thing {\n  id Int @id\n  name String?\n  @@map("things")\n}\n';
const FIRST = 'CREATE TABLE things (id integer NOT NULL, CONSTRAINT things_pkey PRIMARY KEY (id));';
// Semicolons inside of a body: what cuts a script in pieces must know SQL.
const SECOND = `ALTER TABLE things ADD COLUMN name text;
  CREATE FUNCTION things_touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := 'a;b'; RETURN NEW; END $$;
  CREATE TRIGGER things_touch BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION things_touch();`;

let dataDir: string;
let server: string;
let connectionString: string;
let folder: string;
let postgres: EmbeddedPostgres;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'drover-migrate-'));
  postgres = new EmbeddedPostgres({ dataDir: join(dataDir, 'data'), logger: silentLogger });
  ({ connectionString: server } = await postgres.start());
});
afterAll(async () => {
  await postgres.stop();
  await removeDatabase(join(dataDir, 'data'));
  await rm(dataDir, { recursive: true, force: true });
});

let count = 0;
beforeEach(async () => {
  count += 1;
  await run(server, `CREATE DATABASE test_${count}`);
  connectionString = server.replace('/drover?', `/test_${count}?`);
  folder = join(dataDir, `migrations-${count}`);
  await write('20260101000000_first', FIRST);
  await writeFile(join(folder, 'migration_lock.toml'), 'provider = "postgresql"\n');
});

async function write(name: string, sql: string): Promise<void> {
  await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, name, 'migration.sql'), sql);
}

async function run<T>(url: string, sql: string): Promise<T[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows as T[];
  } finally {
    await client.end();
  }
}

const migrateHere = (signal?: AbortSignal): Promise<string[]> =>
  migrate({
    connectionString,
    migrationsFolder: folder,
    logger: silentLogger,
    ...(signal === undefined ? {} : { signal }),
  });

describe('migrating', () => {
  it('applies what is new, once, scripts with function bodies included', async () => {
    expect(await migrateHere()).toEqual(['20260101000000_first']);
    await write('20260102000000_second', SECOND);
    expect(await migrateHere()).toEqual(['20260102000000_second']);
    expect(await migrateHere()).toEqual([]);
    expect(await run(connectionString, 'INSERT INTO things VALUES (1) RETURNING name')).toEqual([{ name: 'a;b' }]);
  });

  it('leaves a record that Prisma itself reads as complete', async () => {
    await write('20260102000000_second', SECOND);
    await migrateHere();
    const migrations = await readMigrations(folder);
    const diagnosis = await withSchemaEngine(connectionString, SCHEMA, (engine) =>
      engine.diagnoseMigrationHistory({
        migrationsList: {
          baseDir: folder,
          lockfile: { path: 'migration_lock.toml', content: 'provider = "postgresql"\n' },
          shadowDbInitScript: '',
          migrationDirectories: migrations.map(({ name, sql }) => ({
            path: name,
            migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: sql } },
          })),
        },
        optInToShadowDatabase: false,
        filters: { externalTables: [], externalEnums: [] },
      }),
    );
    expect(diagnosis).toMatchObject({
      history: null,
      hasMigrationsTable: true,
      failedMigrationNames: [],
      editedMigrationNames: [],
    });
  });

  it('applies the migrations of the project', async () => {
    const applied = await migrate({ connectionString, migrationsFolder: ofTheProject, logger: silentLogger });
    expect(applied).toEqual((await readMigrations(ofTheProject)).map(({ name }) => name));
    expect(applied.length).toBeGreaterThan(0);
  });

  it('is done by one of several processes that start at once', async () => {
    await write('20260102000000_second', `SELECT pg_sleep(0.2); ${SECOND}`);
    const results = await Promise.all([migrateHere(), migrateHere(), migrateHere()]);
    expect(results.map((applied) => applied.length).toSorted()).toEqual([0, 0, 2]);
    expect(await run(connectionString, 'SELECT count(*)::int AS n FROM _prisma_migrations')).toEqual([{ n: 2 }]);
  });

  it('stops waiting for another process when it is aborted', async () => {
    await write('20260102000000_second', 'SELECT pg_sleep(1)');
    const busy = migrateHere();
    await vi.waitFor(async () => {
      expect(
        await run(connectionString, `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted`),
      ).toHaveLength(1);
    });
    await expect(migrateHere(AbortSignal.timeout(100))).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(await busy).toHaveLength(2);
  });

  it('leaves nothing of a migration that fails, says where, and goes on when the cause is gone', async () => {
    await migrateHere();
    await write('20260102000000_second', 'CREATE TABLE more (id int);\nINSERT INTO nowhere VALUES (1);');
    const failure = migrateHere();
    await expect(failure).rejects.toThrow(MigrationFailedError);
    await expect(failure).rejects.toThrow(/20260102000000_second failed at line 2.*nowhere/);
    expect(await run(connectionString, `SELECT to_regclass('more') AS more`)).toEqual([{ more: null }]);
    await write('20260102000000_second', 'CREATE TABLE more (id int);');
    expect(await migrateHere()).toEqual(['20260102000000_second']);
  });

  it('refuses the data of a newer version, and a database of something else', async () => {
    await write('20260102000000_second', SECOND);
    await migrateHere();
    await rm(join(folder, '20260102000000_second'), { recursive: true });
    await expect(migrateHere()).rejects.toThrow(DataOfNewerVersionError);

    await run(connectionString, 'DROP TABLE _prisma_migrations');
    await expect(migrateHere()).rejects.toThrow(ForeignDatabaseError);
    await expect(migrateHere()).rejects.toThrow(/things/);
  });

  it('says that there is no database', async () => {
    connectionString = 'postgresql://nobody@127.0.0.1:1/none';
    await expect(migrateHere()).rejects.toThrow(DatabaseUnreachableError);
  });

  it.each(['CREATE TABLE t ();\nCOMMIT;', 'CREATE INDEX CONCURRENTLY i ON things (id);'])(
    'refuses a migration that cannot be one transaction: %s',
    async (sql) => {
      await write('20260102000000_second', sql);
      await expect(migrateHere()).rejects.toThrow(InvalidMigrationError);
    },
  );
});

describe('comparing a schema with a database', () => {
  it('finds nothing missing where they agree, partitioned tables and triggers aside', async () => {
    await write(
      '20260102000000_second',
      `${SECOND} CREATE TABLE parts (n int) PARTITION BY RANGE (n); CREATE TABLE part PARTITION OF parts DEFAULT;`,
    );
    await migrateHere();
    expect(await missingSql(connectionString, SCHEMA)).toBe('');
  });

  it('gives the SQL that is missing', async () => {
    await migrateHere();
    expect(await missingSql(connectionString, SCHEMA)).toMatch(/ALTER TABLE "things" ADD COLUMN\s+"name" TEXT/);
  });
});
