import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';

/** A device that sends ever new sets of channels would fill the table; none needs this many. */
const MAX_STREAMS_PER_DEVICE = 4_096;

/** The integer keys that samples and events are stored under. */
@Injectable()
export class IngestIdsRepository {
  constructor(private readonly database: Database) {}

  /** The id of a device's boot; made where it is new. `undefined` where there is no such device. */
  async bootId(fleet: string, device: string, bootId: string): Promise<number | undefined> {
    return this.#findOrCreate(
      'SELECT id FROM boots WHERE fleet_id = $1 AND device_id = $2 AND boot_id = $3',
      `INSERT INTO boots (fleet_id, device_id, boot_id)
       SELECT fleet_id, id, $3 FROM devices WHERE fleet_id = $1 AND id = $2 ON CONFLICT DO NOTHING RETURNING id`,
      [fleet, device, bootId],
    );
  }

  /**
   * The id of a device's stream with these channels; made where it is new. `undefined` where there is no such device, or where it
   * has too many streams already.
   */
  async streamId(
    fleet: string,
    device: string,
    name: string,
    channels: readonly string[],
  ): Promise<number | undefined> {
    return this.#findOrCreate(
      'SELECT id FROM streams WHERE fleet_id = $1 AND device_id = $2 AND name = $3 AND channels = $4::text[]',
      `INSERT INTO streams (fleet_id, device_id, name, channels)
       SELECT fleet_id, id, $3, $4::text[] FROM devices d WHERE fleet_id = $1 AND id = $2
          AND (SELECT count(*) FROM streams s WHERE s.fleet_id = d.fleet_id AND s.device_id = d.id) < ${MAX_STREAMS_PER_DEVICE}
           ON CONFLICT DO NOTHING RETURNING id`,
      [fleet, device, name, channels],
    );
  }

  /** Looks first: serial numbers are drawn by inserts that change nothing, too. */
  async #findOrCreate(find: string, create: string, key: unknown[]): Promise<number | undefined> {
    const { pool } = this.database;
    const found = await pool.query<{ id: number }>(find, key);
    if (found.rows[0]) return found.rows[0].id;
    const created = await pool.query<{ id: number }>(create, key);
    if (created.rows[0]) return created.rows[0].id;
    // Another gateway was faster.
    return (await pool.query<{ id: number }>(find, key)).rows[0]?.id;
  }
}
