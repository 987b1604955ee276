/**
 * Prisma's schema engine as WebAssembly, for development only: it tells what SQL turns a database into what `schema.prisma` describes. Nothing
 * native, nothing downloaded.
 */
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import type { SchemaEngine } from '@prisma/schema-engine-wasm';
import { Client, Pool } from 'pg';
import type { QueryResult } from 'pg';

/** Object ids of PostgreSQL's types (pg_type.dat). */
const CHAR_OID = 18;
const TEXT_OID = 25;

/**
 * Opens the engine on a database. Call `free` on it at the end.
 *
 * @param schema the text of a Prisma schema
 */
export async function openSchemaEngine(pool: Pool, schema: string): Promise<SchemaEngine> {
  // Loaded on demand: five megabytes of WebAssembly that no running control plane needs.
  const { SchemaEngine } = await import('@prisma/schema-engine-wasm');
  const adapter = bindMigrationAwareSqlAdapterFactory(new PrismaPg(describablePool(pool)));
  return SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, () => undefined, adapter);
}

/**
 * The SQL that is missing between a migrated database and a schema; empty when they agree. Partitioned tables and their partitions are left
 * alone: Prisma cannot describe them, so they are written by hand in the migrations.
 */
export async function missingSql(connectionString: string, schema: string): Promise<string> {
  const externalTables = await partitionedTables(connectionString);
  const pool = new Pool({ connectionString });
  const engine = await openSchemaEngine(pool, schema);
  try {
    const { stdout } = await engine.diff({
      from: { tag: 'schemaDatasource', configDir: '.', files: [{ path: 'schema.prisma', content: schema }] },
      to: { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content: schema }] },
      script: true,
      exitCode: null,
      filters: { externalTables, externalEnums: [] },
    });
    const sql = stdout?.trim() ?? '';
    return /^-- This is an empty migration\.?$/.test(sql) ? '' : sql;
  } finally {
    engine.free();
    await pool.end();
  }
}

/** The adapter does not know the catalogue's type "char", which the engine reads a lot of. As text it does. */
function describablePool(pool: Pool): Pool {
  const query = pool.query.bind(pool) as (...parameters: unknown[]) => Promise<QueryResult>;
  pool.query = (async (...parameters: unknown[]) => {
    const result = await query(...parameters);
    for (const field of result.fields ?? []) if (field.dataTypeID === CHAR_OID) field.dataTypeID = TEXT_OID;
    return result;
  }) as typeof pool.query;
  return pool;
}

async function partitionedTables(connectionString: string): Promise<string[]> {
  const client = new Client({ connectionString });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      `SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'p' OR (c.relkind = 'r' AND c.relispartition)`,
    );
    return rows.map(({ name }) => name);
  } finally {
    await client.end();
  }
}
