import type { FleetEvent } from '@drover/contracts';
import { InvalidInputError } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Database } from '../database/database.ts';

/** A place in the stream: (transaction, id). As text `"<tx>-<id>"`, the `Last-Event-ID`. */
export interface EventPosition {
  readonly tx: string;
  readonly id: string;
}

export const EVENTS_CHANNEL = 'drover_events';

export function parsePosition(text: string): EventPosition {
  if (text === '0') return { tx: '0', id: '0' };
  const match = /^(\d{1,20})-(\d{1,19})$/.exec(text);
  if (!match)
    throw new InvalidInputError('The event id is not one that this server gave out.', {
      problems: [{ path: 'after', message: 'must be an event id, or 0' }],
    });
  return { tx: match[1]!, id: match[2]! };
}

export function formatPosition(position: EventPosition): string {
  return `${position.tx}-${position.id}`;
}

interface EventRow {
  tx: string;
  id: string;
  fleet_id: string;
  type: string;
  subject: string;
  at: Date;
  data: Record<string, unknown>;
}

/**
 * Reads events in commit order.
 *
 * INVARIANT: ids are drawn before commit, so by id alone a reader could pass over an event that commits late. Events are
 * ordered by (transaction id, id), and only those of transactions older than every running one are read: nothing can
 * appear behind a position once it was passed.
 */
@Injectable()
export class EventReader {
  constructor(private readonly database: Database) {}

  /** Up to `limit` events after a position. `fleet` undefined reads all fleets. */
  async read(after: EventPosition, limit: number, fleet?: string): Promise<FleetEvent[]> {
    // Sorted by the table's columns: unqualified, the names would mean the texts that are selected.
    const { rows } = await this.database.pool.query<EventRow>(
      `SELECT tx::text, id::text, fleet_id, type, subject, at, data FROM events
        WHERE (tx, id) > ($1::xid8, $2::bigint) AND tx < pg_snapshot_xmin(pg_current_snapshot())
          AND ($4::text IS NULL OR fleet_id = $4)
        ORDER BY events.tx, events.id LIMIT $3`,
      [after.tx, after.id, limit, fleet ?? null],
    );
    return rows.map((row) => ({
      id: formatPosition(row),
      fleet: row.fleet_id,
      type: row.type,
      subject: row.subject,
      at: row.at.toISOString(),
      data: row.data,
    }));
  }

  /** Removes up to `limit` events from before an instant, of all fleets. @returns how many */
  async forget(before: Date, limit: number): Promise<number> {
    const { rowCount } = await this.database.pool.query(
      'DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < $1 ORDER BY at LIMIT $2)',
      [before, limit],
    );
    return rowCount ?? 0;
  }

  /** The position after everything that can be read now. */
  async end(): Promise<EventPosition> {
    const { rows } = await this.database.pool.query<{ tx: string; id: string }>(
      `SELECT tx::text, id::text FROM events WHERE tx < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY events.tx DESC, events.id DESC LIMIT 1`,
    );
    return rows[0] ?? { tx: '0', id: '0' };
  }
}
