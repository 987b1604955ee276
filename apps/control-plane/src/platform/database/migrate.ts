/**
 * Applies the SQL migrations to a database, in Prisma's bookkeeping (`_prisma_migrations`), so that Prisma's own tools understand it.
 *
 * INVARIANT: a migration and its row in `_prisma_migrations` are one transaction. Whatever is killed, a migration is applied and recorded, or
 * neither, and the next start goes on from there. (Prisma's engine writes the row before and after the script instead, and its adapter
 * for `pg` cuts scripts at every semicolon, also inside of function bodies.)
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { Client } from 'pg';
import {
  DatabaseUnreachableError,
  ForeignDatabaseError,
  InvalidMigrationError,
  MigrationFailedError,
  PostgresTooOldError,
} from './migration-errors.ts';
import { planMigrations } from './migration-plan.ts';
import type { Migration, RecordedMigration } from './migration-plan.ts';

export interface MigrateOptions {
  /** Of any PostgreSQL ≥ 15. */
  readonly connectionString: string;
  /** With one folder `<timestamp>_<name>` per migration and `migration.sql` in it. */
  readonly migrationsFolder: string;
  readonly logger: Logger;
  readonly signal?: AbortSignal;
}

/** The key of the advisory lock under which migrations run: any number nobody else uses, here "drover" in ASCII. */
const LOCK_KEY = '110424782661746';
const LOCK_POLL_MS = 50;
const OLDEST_POSTGRES = 15;

const CREATE_BOOKKEEPING = `
  CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id varchar(36) PRIMARY KEY NOT NULL,
    checksum varchar(64) NOT NULL,
    finished_at timestamptz,
    migration_name varchar(255) NOT NULL,
    logs text,
    rolled_back_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(),
    applied_steps_count integer NOT NULL DEFAULT 0
  )`;

/** Some tables that are neither the bookkeeping nor an extension's. */
const FOREIGN_TABLES = `
  SELECT c.relname AS name FROM pg_class c
   WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> '_prisma_migrations'
     AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
   ORDER BY 1 LIMIT 3`;

/**
 * Brings the database up to date. Several processes may do so at once: one applies, the others wait. With nothing to apply it costs one
 * connection and two queries.
 *
 * @returns the names of the migrations that this call applied
 * @throws DatabaseUnreachableError, PostgresTooOldError, ForeignDatabaseError, DataOfNewerVersionError, MigrationChangedError,
 *   UnfinishedMigrationError, InvalidMigrationError, MigrationFailedError; the signal's reason when aborted
 */
export async function migrate(options: MigrateOptions): Promise<string[]> {
  const known = await readMigrations(options.migrationsFolder);
  const client = await connect(options.connectionString);
  try {
    if (planMigrations(known, await readRecorded(client)).length === 0) return [];
    // A session's lock: it goes with the connection, whatever happens to us.
    await takeLock(client, options);
    const recorded = await readRecorded(client);
    if (recorded.length === 0) await refuseForeign(client);
    const pending = planMigrations(known, recorded);
    for (const migration of pending) {
      options.signal?.throwIfAborted();
      await apply(client, migration);
      options.logger.info({ migration: migration.name }, 'Applied a migration');
    }
    return pending.map(({ name }) => name);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * The migrations of a folder in the order of their names.
 *
 * @throws InvalidMigrationError for one that could not run inside of a transaction
 */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return Promise.all(
    names.toSorted().map(async (name) => {
      const sql = await readFile(join(folder, name, 'migration.sql'), 'utf8');
      const forbidden = /^\s*(?:commit|rollback)\b[^;]*;|\b(?:create|drop|reindex)\b[^;]*\bconcurrently\b/im.exec(sql);
      if (forbidden !== null) {
        throw new InvalidMigrationError(
          `Migration ${name} contains "${forbidden[0].trim()}", which cannot run inside of its transaction.`,
        );
      }
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

async function connect(connectionString: string): Promise<Client> {
  const client = new Client({ connectionString, application_name: 'drover-migrate', connectionTimeoutMillis: 10_000 });
  // Queries fail by themselves when the connection breaks; the event must only not go unheard.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (cause) {
    throw new DatabaseUnreachableError(
      `The database cannot be reached (${messageOf(cause)}). Check that it runs and that DATABASE_URL is right.`,
      { cause },
    );
  }
  try {
    const { rows } = await client.query<{ version: number }>(
      `SELECT current_setting('server_version_num')::int / 10000 AS version`,
    );
    const version = rows[0]?.version ?? 0;
    if (version < OLDEST_POSTGRES) {
      throw new PostgresTooOldError(
        `The database server is PostgreSQL ${version}; Drover needs ${OLDEST_POSTGRES} or newer.`,
      );
    }
  } catch (error) {
    await client.end().catch(() => undefined);
    throw error;
  }
  return client;
}

async function readRecorded(client: Client): Promise<RecordedMigration[]> {
  const { rows: found } = await client.query<{ present: boolean }>(
    `SELECT to_regclass('_prisma_migrations') IS NOT NULL AS present`,
  );
  if (found[0]?.present !== true) return [];
  const { rows } = await client.query<RecordedMigration>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished, rolled_back_at IS NOT NULL AS "rolledBack", logs
       FROM _prisma_migrations ORDER BY started_at`,
  );
  return rows;
}

/** Nothing is recorded: then nothing may be there either. Asked under the lock, or another process could just be making our tables. */
async function refuseForeign(client: Client): Promise<void> {
  const { rows } = await client.query<{ name: string }>(FOREIGN_TABLES);
  if (rows.length === 0) return;
  throw new ForeignDatabaseError(
    `The database ${client.database} holds tables of something else (${rows.map(({ name }) => name).join(', ')}, …). ` +
      `Give Drover an empty database of its own in DATABASE_URL.`,
  );
}

async function takeLock(client: Client, { logger, signal }: MigrateOptions): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    signal?.throwIfAborted();
    const { rows } = await client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1) AS taken', [LOCK_KEY]);
    if (rows[0]?.taken === true) return;
    if (attempt === 0) logger.info({}, 'Another process is migrating the database; waiting for it');
    await sleep(LOCK_POLL_MS, signal);
  }
}

async function apply(client: Client, { name, sql, checksum }: Migration): Promise<void> {
  try {
    await client.query('BEGIN');
    await client.query(CREATE_BOOKKEEPING);
    // Without parameters the whole script goes as one message, which the server takes apart itself.
    await client.query(sql);
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, now(), clock_timestamp(), 1)`,
      [randomUUID(), checksum, name],
    );
    await client.query('COMMIT');
  } catch (cause) {
    await client.query('ROLLBACK').catch(() => undefined);
    const where = cause instanceof Error && 'position' in cause ? lineOf(sql, Number(cause.position)) : '';
    throw new MigrationFailedError(
      `Migration ${name} failed${where}: ${messageOf(cause)}. Nothing of it was applied. Remove the cause and start again, or go back to the ` +
        `version of Drover that the data comes from.`,
      { cause },
    );
  }
}

/** @param position of a character, from 1, as PostgreSQL reports it */
function lineOf(sql: string, position: number): string {
  return Number.isInteger(position) ? ` at line ${sql.slice(0, position - 1).split('\n').length}` : '';
}
