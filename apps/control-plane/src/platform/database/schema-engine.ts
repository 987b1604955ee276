/**
 * Prisma's schema engine as WebAssembly, for development only: it tells what SQL turns a database into what `schema.prisma` describes. Nothing
 * native, nothing downloaded.
 */
import { PrismaPg } from '@prisma/adapter-pg';
import { ColumnTypeEnum, bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';
import type { SchemaEngine } from '@prisma/schema-engine-wasm';
import { Client, Pool } from 'pg';
import type { QueryResult } from 'pg';

/** Object ids of PostgreSQL's types (pg_type.dat). */
const CHAR_OID = 18;
const CHAR_ARRAY_OID = 1002;

/**
 * Lets `work` use the engine on a database.
 *
 * @param schema the text of a Prisma schema
 */
export async function withSchemaEngine<T>(
  connectionString: string,
  schema: string,
  work: (engine: SchemaEngine) => Promise<T>,
): Promise<T> {
  // Loaded on demand: five megabytes of WebAssembly that no running control plane needs.
  const prisma = await import('@prisma/schema-engine-wasm');
  const factory = new DescribingAdapterFactory(connectionString);
  const adapter = bindMigrationAwareSqlAdapterFactory(factory);
  try {
    const engine = await prisma.SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, () => undefined, adapter);
    try {
      return await work(engine);
    } finally {
      engine.free();
    }
  } finally {
    await factory.end();
  }
}

/**
 * The SQL that is missing between a migrated database and a schema; empty when they agree. Partitioned tables and their partitions are left
 * alone: Prisma cannot describe them, so they are written by hand in the migrations.
 */
export async function missingSql(connectionString: string, schema: string): Promise<string> {
  const externalTables = await partitionedTables(connectionString);
  const files = [{ path: 'schema.prisma', content: schema }];
  const { stdout } = await withSchemaEngine(connectionString, schema, (engine) =>
    engine.diff({
      from: { tag: 'schemaDatasource', configDir: '.', files },
      to: { tag: 'schemaDatamodel', files },
      script: true,
      exitCode: null,
      filters: { externalTables, externalEnums: [] },
    }),
  );
  const sql = stdout?.trim() ?? '';
  return /^-- This is an empty migration\.?$/.test(sql) ? '' : sql;
}

/**
 * Prisma's adapter, taught the catalogue's type "char": it knows arrays of it but not the type itself, and the engine reads a lot of them
 * when it looks at a database. So a column of it passes the adapter as an array's and gets its own type afterwards.
 */
class DescribingAdapterFactory extends PrismaPg {
  readonly #pool: Pool;

  constructor(connectionString: string) {
    const pool = new Pool({ connectionString });
    const query = pool.query.bind(pool) as (...parameters: unknown[]) => Promise<QueryResult>;
    pool.query = (async (...parameters: unknown[]) => {
      const result = await query(...parameters);
      for (const field of result.fields ?? []) if (field.dataTypeID === CHAR_OID) field.dataTypeID = CHAR_ARRAY_OID;
      return result;
    }) as typeof pool.query;
    super(pool);
    this.#pool = pool;
  }

  override async connect(): ReturnType<PrismaPg['connect']> {
    const adapter = await super.connect();
    const queryRaw = adapter.queryRaw.bind(adapter);
    adapter.queryRaw = async (query) => {
      const result = await queryRaw(query);
      const { Character, CharacterArray } = ColumnTypeEnum;
      return { ...result, columnTypes: result.columnTypes.map((type) => (type === CharacterArray ? Character : type)) };
    };
    return adapter;
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }
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
