import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';

export interface RejectRow {
  readonly id: string;
  readonly deviceId: string;
  readonly topic: string;
  readonly code: string;
  readonly message: string;
  readonly payload: Buffer;
  readonly sizeBytes: number;
  readonly receivedAt: Date;
}

export interface NewRejectRow {
  readonly fleet: string;
  readonly device: string;
  readonly topic: string;
  readonly code: string;
  readonly message: string;
  /** The first bytes of the message. */
  readonly payload: Buffer;
  /** Of the whole message. */
  readonly sizeBytes: number;
}

@Injectable()
export class RejectsRepository {
  constructor(private readonly database: Database) {}

  /** One statement for all of them, whatever their fleets. */
  async addMany(rows: readonly NewRejectRow[]): Promise<void> {
    await this.database.pool.query(
      `INSERT INTO rejects (fleet_id, device_id, topic, code, message, payload, size_bytes)
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::int[])`,
      [
        rows.map((row) => row.fleet),
        rows.map((row) => row.device),
        rows.map((row) => row.topic),
        rows.map((row) => row.code),
        rows.map((row) => row.message),
        rows.map((row) => row.payload),
        rows.map((row) => row.sizeBytes),
      ],
    );
  }

  /** Newest first. `before` is the id of the last row of the previous page. */
  async list(
    fleet: string,
    filter: { readonly device?: string; readonly code?: string; readonly before?: string },
    limit: number,
  ): Promise<RejectRow[]> {
    const { rows } = await this.database.pool.query<RejectRow>(
      `SELECT id::text, device_id AS "deviceId", topic, code, message, payload, size_bytes AS "sizeBytes",
              received_at AS "receivedAt"
         FROM rejects
        WHERE fleet_id = $1 AND ($2::text IS NULL OR device_id = $2) AND ($3::text IS NULL OR code = $3)
          AND ($4::bigint IS NULL OR id < $4::bigint)
        ORDER BY rejects.id DESC LIMIT $5`,
      [fleet, filter.device ?? null, filter.code ?? null, filter.before ?? null, limit],
    );
    return rows;
  }

  /** Removes what is older than that, in all fleets. */
  async removeBefore(instant: Date): Promise<void> {
    await this.database.pool.query('DELETE FROM rejects WHERE received_at < $1', [instant]);
  }
}
