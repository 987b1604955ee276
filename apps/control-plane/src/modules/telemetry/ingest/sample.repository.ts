import { InternalError } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import { sqlStateOf } from '../../../platform/database/database-faults.ts';
import { SAMPLE_COLUMNS } from './sample-batch.ts';
import type { SampleBatch } from './sample-batch.ts';

/** The table `samples` is not the one that this version writes. */
export class SampleLayoutError extends InternalError {}

const COLUMNS = 'stream_id, at, boot_id, seq, idx, "values"';
const INSERT = {
  name: 'drover-insert-samples',
  text: `INSERT INTO samples (${COLUMNS}) SELECT ${COLUMNS} FROM unnest($1::samples[]) ON CONFLICT DO NOTHING`,
};
const LAYOUT = `
  SELECT 'samples'::regtype::oid::int8::float8 AS oid, array_agg(attname::text ORDER BY attnum) AS columns
    FROM pg_attribute WHERE attrelid = 'samples'::regclass AND attnum > 0 AND NOT attisdropped`;
const DATATYPE_MISMATCH = '42804';

@Injectable()
export class SampleRepository {
  #rowType: Promise<number> | undefined;

  constructor(private readonly database: Database) {}

  /**
   * Stores the samples that are not stored yet: one statement, one transaction.
   *
   * @returns how many were new
   */
  async insert(batch: SampleBatch): Promise<number> {
    try {
      const values = [batch.parameter(await this.#findRowType())];
      const { rowCount } = await this.database.pool.query({ ...INSERT, values });
      return rowCount ?? 0;
    } catch (error) {
      // Another database answers now than the one that was asked for the type's number.
      if (sqlStateOf(error) === DATATYPE_MISMATCH) this.#rowType = undefined;
      throw error;
    }
  }

  #findRowType(): Promise<number> {
    return (this.#rowType ??= this.#queryRowType().catch((error: unknown) => {
      this.#rowType = undefined;
      throw error;
    }));
  }

  async #queryRowType(): Promise<number> {
    const { rows } = await this.database.pool.query<{ oid: number; columns: string[] }>(LAYOUT);
    const { oid, columns } = rows[0]!;
    if (columns.join() !== SAMPLE_COLUMNS.join()) {
      throw new SampleLayoutError(
        `The table "samples" has the columns ${columns.join()}; expected ${SAMPLE_COLUMNS.join()}.`,
      );
    }
    return oid;
  }
}
