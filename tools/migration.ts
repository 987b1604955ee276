/**
 * Writes the migration that brings the existing ones up to `schema.prisma`, or checks that none is missing. Works on a throw-away embedded
 * PostgreSQL; needs no network.
 *
 *     node tools/migration.ts <name>      writes <migrations>/<timestamp>_<name>/migration.sql
 *     node tools/migration.ts --check     exits 1 when the schema and the migrations differ
 *
 * Options: --schema <file> (prisma/schema.prisma), --migrations <folder> (prisma/migrations).
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { EmbeddedPostgres } from '../apps/control-plane/src/platform/database/embedded/embedded-postgres.ts';
import { removeDatabase } from '../apps/control-plane/src/platform/database/embedded/database-location.ts';
import { migrate } from '../apps/control-plane/src/platform/database/migrate.ts';
import { missingSql } from '../apps/control-plane/src/platform/database/schema-engine.ts';
import { messageOf, silentLogger } from '../libs/runtime/index.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    check: { type: 'boolean', default: false },
    schema: { type: 'string', default: 'prisma/schema.prisma' },
    migrations: { type: 'string', default: 'prisma/migrations' },
  },
});

try {
  process.exitCode = await main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 1;
}

async function main(): Promise<number> {
  const name = positionals[0];
  if (values.check === (name !== undefined) || (name !== undefined && !/^[a-z][a-z0-9_]*$/.test(name))) {
    console.error(
      'Usage: node tools/migration.ts (<name_in_snake_case> | --check) [--schema <file>] [--migrations <folder>]',
    );
    return 2;
  }
  await mkdir(values.migrations, { recursive: true });
  const schema = await readFile(values.schema, 'utf8');
  const sql = await onThrowAwayDatabase(async (connectionString) => {
    await migrate({ connectionString, migrationsFolder: values.migrations, logger: silentLogger });
    return missingSql(connectionString, schema);
  });
  if (sql === '') {
    console.log('The migrations say what the schema says.');
    return 0;
  }
  if (name === undefined) {
    console.error(`The migrations lack what the schema says; run: node tools/migration.ts <name>\n\n${sql}`);
    return 1;
  }
  const folder = join(values.migrations, `${timestamp(new Date())}_${name}`);
  await mkdir(folder);
  await writeFile(join(folder, 'migration.sql'), `${sql}\n`);
  console.log(`Wrote ${join(folder, 'migration.sql')}. Read it before you commit it.`);
  return 0;
}

async function onThrowAwayDatabase<T>(work: (connectionString: string) => Promise<T>): Promise<T> {
  const dataDir = await mkdtemp(join(tmpdir(), 'drover-migration-'));
  const postgres = new EmbeddedPostgres({ dataDir, logger: silentLogger });
  try {
    const { connectionString } = await postgres.start();
    return await work(connectionString);
  } finally {
    await postgres.stop();
    await removeDatabase(dataDir);
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** `20261123190500`, UTC. */
function timestamp(date: Date): string {
  return date.toISOString().replaceAll(/[-T:]/g, '').slice(0, 14);
}
