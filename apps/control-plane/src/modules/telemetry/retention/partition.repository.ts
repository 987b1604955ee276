import { Injectable } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { escapeIdentifier, escapeLiteral } from 'pg';
import { Database } from '../../../platform/database/database.ts';
import type { Month } from './partition-plan.ts';

/** Changes of the table's layout run one at a time, whichever process makes them: "samp" in ASCII. */
const LOCK_KEY = 1_935_764_848;
/** What waits for a lock on the whole table makes the ingest wait behind it: rather try again later. */
const LOCK_TIMEOUT = '5s';

/** Partitions of `samples`. They hold all fleets' samples. */
@Injectable()
export class PartitionRepository {
  constructor(private readonly database: Database) {}

  async list(): Promise<string[]> {
    const { rows } = await this.database.pool.query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'samples'::regclass ORDER BY 1`,
    );
    return rows.map((row) => row.name);
  }

  /**
   * Makes the partition of a month. Samples of that month that are in the default partition already move into it, while the
   * ingest waits.
   *
   * @returns whether it was missing
   */
  async create(month: Month): Promise<boolean> {
    return this.#exclusively(async (client) => {
      const table = escapeIdentifier(month.partition);
      const { rows } = await client.query('SELECT 1 FROM pg_class WHERE oid = to_regclass($1)', [month.partition]);
      if (rows.length > 0) return false;
      // Nothing may come into the default partition between the move and the end.
      await client.query('LOCK TABLE samples_default IN ACCESS EXCLUSIVE MODE');
      await client.query(`CREATE TABLE ${table} (LIKE samples INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`);
      await client.query(
        `WITH moved AS (DELETE FROM samples_default WHERE at >= $1 AND at < $2 RETURNING *)
         INSERT INTO ${table} SELECT * FROM moved`,
        [month.from, month.to],
      );
      // Attached, not created as a partition: that would lock out all readers and writers of the whole table.
      const range = `FROM (${escapeLiteral(month.from)}) TO (${escapeLiteral(month.to)})`;
      await client.query(`ALTER TABLE samples ATTACH PARTITION ${table} FOR VALUES ${range}`);
      return true;
    });
  }

  async drop(partition: string): Promise<void> {
    await this.#exclusively(async (client) => {
      await client.query(`DROP TABLE IF EXISTS ${escapeIdentifier(partition)}`);
    });
  }

  /**
   * Removes old samples from the default partition: those that also came in before that time. A replayed recording of long ago
   * is as old as its replay.
   *
   * @returns how many
   */
  async purgeDefault(before: Date): Promise<number> {
    const { rowCount } = await this.database.pool.query(
      'DELETE FROM samples_default WHERE at < $1 AND received_at < $1',
      [before],
    );
    return rowCount ?? 0;
  }

  async #exclusively<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.database.pool.connect();
    let broken: Error | undefined;
    try {
      await client.query('BEGIN');
      await client.query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`);
      await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY]);
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch((failure: Error) => (broken = failure));
      throw error;
    } finally {
      client.release(broken);
    }
  }
}
