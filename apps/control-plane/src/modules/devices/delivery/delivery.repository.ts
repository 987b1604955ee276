import type { Command } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import type { DeviceRef } from './device-ref.ts';
import type { CommandToSend, TwinToSend } from './instruction-signer.service.ts';

/** Which desired document a device has accepted last; null where it must get one in any case. */
export interface SeenTwin extends DeviceRef {
  readonly seen: { readonly epoch: number; readonly version: number } | null;
}

export interface Claimed {
  readonly twins: readonly DeviceRef[];
  readonly disconnects: readonly DeviceRef[];
  readonly commands: readonly CommandToSend[];
}

export interface FinishedCommand extends DeviceRef {
  readonly type: string;
  readonly id: string;
  readonly status: string;
  readonly message: string | null;
}

/** A command that nobody took: before any time at which one is sent. */
const NEVER = `'epoch'::timestamptz`;
const DEFAULT_GRACE_MS = 10_000;

const COMMAND_COLUMNS = `o.id::text, o.fleet_id AS fleet, o.device_id AS device, o.payload AS command, t.epoch, t.version`;

/** The gateway's side of `device_outbox` and the twins, for many devices per statement. */
@Injectable()
export class DeliveryRepository {
  constructor(private readonly database: Database) {}

  /**
   * Takes what waits in the outbox, each row for one gateway only. Notices (`desired`, `disconnect`) are removed: where the
   * gateway dies before it has acted, the connections die with it, and devices say what they have seen when they come back.
   * Commands stay until the device has reported their status.
   */
  async claim(limit: number): Promise<Claimed> {
    const { rows } = await this.database.pool.query<DeviceRef & { kind: 'desired' | 'disconnect' }>(
      `DELETE FROM device_outbox WHERE id IN (
         SELECT o.id FROM device_outbox o
          WHERE o.sent_at IS NULL AND (
            o.kind = 'desired' OR o.kind = 'disconnect' AND (
              o.payload ->> 'afterCommand' IS NULL
              OR o.created_at + coalesce((o.payload ->> 'graceMs')::float8, ${DEFAULT_GRACE_MS}) * interval '1 ms' < now()
              OR NOT EXISTS (
                SELECT FROM device_outbox c
                 WHERE c.fleet_id = o.fleet_id AND c.device_id = o.device_id AND c.kind = 'command'
                   AND c.payload ->> 'id' = o.payload ->> 'afterCommand')))
          ORDER BY o.id LIMIT $1 FOR UPDATE SKIP LOCKED)
       RETURNING fleet_id AS fleet, device_id AS device, kind`,
      [limit],
    );
    const commands = await this.database.pool.query<CommandToSend>(
      `UPDATE device_outbox o SET sent_at = now() FROM twins t
        WHERE t.fleet_id = o.fleet_id AND t.device_id = o.device_id AND o.id IN (
          SELECT id FROM device_outbox WHERE sent_at IS NULL AND kind = 'command'
           ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
       RETURNING ${COMMAND_COLUMNS}`,
      [limit],
    );
    return {
      twins: rows.filter(({ kind }) => kind === 'desired'),
      disconnects: rows.filter(({ kind }) => kind === 'disconnect'),
      commands: inOrder(commands.rows),
    };
  }

  /** The twins that are newer than what each device has seen, ready to be signed. */
  async newerTwins(devices: readonly SeenTwin[]): Promise<TwinToSend[]> {
    const { rows } = await this.database.pool.query<TwinToSend>(
      `SELECT t.fleet_id AS fleet, t.device_id AS device, t.epoch, t.version, t.rollback, t.desired
         FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[]) AS s(fleet, device, epoch, version)
         JOIN twins t ON t.fleet_id = s.fleet AND t.device_id = s.device
        WHERE (t.epoch, t.version) > (s.epoch, s.version)`,
      [
        devices.map(({ fleet }) => fleet),
        devices.map(({ device }) => device),
        devices.map(({ seen }) => seen?.epoch ?? -1),
        devices.map(({ seen }) => seen?.version ?? -1),
      ],
    );
    return rows;
  }

  /** The devices' commands that are unanswered and were not sent within the last `againAfterMs`; marks them as sent. */
  async unansweredCommands(devices: readonly DeviceRef[], againAfterMs: number): Promise<CommandToSend[]> {
    const { rows } = await this.database.pool.query<CommandToSend>(
      `UPDATE device_outbox o SET sent_at = now()
         FROM unnest($1::text[], $2::text[]) AS s(fleet, device)
         JOIN twins t ON t.fleet_id = s.fleet AND t.device_id = s.device
        WHERE o.fleet_id = s.fleet AND o.device_id = s.device AND o.kind = 'command'
          AND o.sent_at < now() - $3 * interval '1 ms'
       RETURNING ${COMMAND_COLUMNS}`,
      [devices.map(({ fleet }) => fleet), devices.map(({ device }) => device), againAfterMs],
    );
    return inOrder(rows);
  }

  /** Nobody took it: it is sent again as soon as the device shows up. */
  async commandNotTaken(id: string): Promise<void> {
    await this.database.pool.query(`UPDATE device_outbox SET sent_at = ${NEVER} WHERE id = $1`, [id]);
  }

  /** Removes an answered command and tells of it, in one statement. @returns whether there was one */
  async finishCommand(finished: FinishedCommand): Promise<boolean> {
    const { fleet, device, type, id, status, message } = finished;
    const { rowCount } = await this.database.pool.query(
      `WITH done AS (
         DELETE FROM device_outbox
          WHERE fleet_id = $1 AND device_id = $2 AND kind = 'command'
            AND payload ->> 'type' = $3 AND payload ->> 'id' = $4
         RETURNING fleet_id, device_id
       )
       INSERT INTO events (fleet_id, type, subject, data)
       SELECT fleet_id, 'device.command-finished', device_id,
              jsonb_build_object('command', $4::text, 'type', $3::text, 'status', $5::text, 'message', $6::text)
         FROM done`,
      [fleet, device, type, id, status, message],
    );
    return (rowCount ?? 0) > 0;
  }

  /** Removes commands that nobody has answered for that long. */
  async dropOldCommands(olderThanMs: number): Promise<void> {
    await this.database.pool.query(
      `DELETE FROM device_outbox WHERE kind = 'command' AND created_at < now() - $1 * interval '1 ms'`,
      [olderThanMs],
    );
  }

  async newestKeySet(): Promise<number> {
    const { rows } = await this.database.pool.query<{ version: number }>(
      'SELECT coalesce(max(version), 0)::int AS version FROM key_sets',
    );
    return rows[0]!.version;
  }
}

/** In the order in which they were given. */
function inOrder<T extends { readonly id: string; readonly command: Command }>(rows: T[]): T[] {
  return rows.toSorted((a, b) => Number(BigInt(a.id) - BigInt(b.id)));
}
