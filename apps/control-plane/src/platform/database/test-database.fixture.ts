import { randomBytes } from 'node:crypto';
import 'reflect-metadata';
import { silentLogger } from '@drover/runtime';
import pg from 'pg';
import { Database } from './database.ts';
import { NoticeListener } from './listener.ts';

/** Set by `test-postgres.setup.ts`: the migrated database that tests copy. */
export const TEMPLATE_URL_VARIABLE = 'DROVER_TEST_TEMPLATE_URL';

export interface TestDatabase {
  readonly database: Database;
  readonly listener: NoticeListener;
  readonly connectionString: string;
  stop(): Promise<void>;
}

/** A database of its own on the run's PostgreSQL, with the present schema. */
export async function copyOfTemplate(): Promise<{ connectionString: string; drop: () => Promise<void> }> {
  const template = process.env[TEMPLATE_URL_VARIABLE];
  if (template === undefined)
    throw new TypeError('no PostgreSQL for tests: run them with vitest, whose configuration starts one');
  const name = `test_${randomBytes(8).toString('hex')}`;
  const own = template.replace('/drover?', `/${name}?`);
  // From the maintenance database: nobody may be connected to a template while it is copied.
  const run = async (sql: string): Promise<void> => {
    const client = new pg.Client({ connectionString: template.replace('/drover?', '/postgres?') });
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  };
  await run(`CREATE DATABASE ${name} TEMPLATE drover`);
  return { connectionString: own, drop: () => run(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

/** A real database of its own with the present schema and the fleets `default` and `other`. */
export async function testDatabase(): Promise<TestDatabase> {
  const { connectionString, drop } = await copyOfTemplate();
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
    stop: async () => {
      await listener.stop();
      await database.stop();
      await drop();
    },
  };
}
