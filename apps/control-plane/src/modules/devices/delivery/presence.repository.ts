import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import type { DeviceRef } from './device-ref.ts';

export interface PresenceChange extends DeviceRef {
  readonly online: boolean;
  /** Why, for the event. */
  readonly reason: string;
}

/**
 * Presence as a lease: `online_until` says how long a device counts as online, `online` what was last told by an event. Times are
 * the database's. Rows are locked in the order of ids, so that two statements never wait for each other in a circle, and not against
 * foreign keys, so that nobody who writes something of a device waits for its presence.
 */
@Injectable()
export class PresenceRepository {
  constructor(private readonly database: Database) {}

  /** Extends the leases of many devices. @returns those that nobody had called online yet */
  async renew(devices: readonly DeviceRef[], leaseMs: number): Promise<DeviceRef[]> {
    const { rows } = await this.database.pool.query<DeviceRef>(
      `WITH heard AS (
         SELECT d.fleet_id, d.id FROM unnest($1::text[], $2::text[]) AS h(fleet, device)
           JOIN devices d ON d.fleet_id = h.fleet AND d.id = h.device
          WHERE d.state = 'active' ORDER BY d.id FOR NO KEY UPDATE OF d
       ), renewed AS (
         UPDATE devices d SET online_until = now() + $3 * interval '1 ms', last_seen_at = now()
           FROM heard WHERE d.fleet_id = heard.fleet_id AND d.id = heard.id
         RETURNING d.fleet_id, d.id, d.online
       )
       SELECT fleet_id AS fleet, id AS device FROM renewed WHERE NOT online`,
      [devices.map(({ fleet }) => fleet), devices.map(({ device }) => device), leaseMs],
    );
    return rows;
  }

  /** Makes devices online or offline, and tells it where it is news. At most one change per device. */
  async change(changes: readonly PresenceChange[], leaseMs: number): Promise<void> {
    await this.database.pool.query(
      `WITH wanted AS (
         SELECT * FROM unnest($1::text[], $2::text[], $3::bool[], $4::text[]) AS w(fleet, device, online, reason)
       ), before AS (
         SELECT d.fleet_id, d.id, d.online AS was, w.online, w.reason FROM wanted w
           JOIN devices d ON d.fleet_id = w.fleet AND d.id = w.device
          WHERE d.state = 'active' OR NOT w.online ORDER BY d.id FOR NO KEY UPDATE OF d
       ), changed AS (
         UPDATE devices d
            SET online = b.online,
                online_until = CASE WHEN b.online THEN now() + $5 * interval '1 ms' ELSE now() END,
                last_seen_at = CASE WHEN b.online THEN now() ELSE d.last_seen_at END
           FROM before b WHERE d.fleet_id = b.fleet_id AND d.id = b.id
       )
       INSERT INTO events (fleet_id, type, subject, data)
       SELECT fleet_id, CASE WHEN online THEN 'device.online' ELSE 'device.offline' END, id,
              jsonb_build_object('reason', reason)
         FROM before WHERE was <> online`,
      [
        changes.map(({ fleet }) => fleet),
        changes.map(({ device }) => device),
        changes.map(({ online }) => online),
        changes.map(({ reason }) => reason),
        leaseMs,
      ],
    );
  }

  /** Makes those offline whose lease has run out, whichever gateway had renewed it. @returns up to `limit` of them */
  async expire(limit: number): Promise<DeviceRef[]> {
    // Asked first: an INSERT of nothing still wakes every reader of events.
    const { rowCount } = await this.database.pool.query(
      'SELECT FROM devices WHERE online AND online_until <= now() LIMIT 1',
    );
    if (rowCount === 0) return [];
    const { rows } = await this.database.pool.query<DeviceRef>(
      `WITH overdue AS (
         SELECT fleet_id, id FROM devices WHERE online AND online_until <= now()
          ORDER BY id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
       ), changed AS (
         UPDATE devices d SET online = false FROM overdue o WHERE d.fleet_id = o.fleet_id AND d.id = o.id
         RETURNING d.fleet_id, d.id
       ), told AS (
         INSERT INTO events (fleet_id, type, subject, data)
         SELECT fleet_id, 'device.offline', id, '{"reason":"lease"}' FROM changed
       )
       SELECT fleet_id AS fleet, id AS device FROM changed`,
      [limit],
    );
    return rows;
  }
}
