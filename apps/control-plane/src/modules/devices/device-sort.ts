import type { DeviceQuery } from '@drover/contracts';
import { InvalidInputError } from '@drover/runtime';
import { decodeCursor, encodeCursor } from '../../platform/http/page.ts';
import type { SqlParameters } from './sql-parameters.ts';

/** What each sort orders by. An index of (fleet, this, id) serves each in both directions. */
const ORDERS = {
  name: { expression: 'd.name', type: 'text' },
  tier: { expression: 'd.tier', type: 'text' },
  enrolledAt: { expression: 'd.enrolled_at', type: 'timestamptz' },
  // A device that was never seen comes before all that were.
  lastSeenAt: { expression: `coalesce(d.last_seen_at, '-infinity'::timestamptz)`, type: 'timestamptz' },
} as const;

/** Order of a list of devices, and where a page of it begins. Ties go by id, so the order is total. */
export interface DeviceOrder {
  /** After `ORDER BY`. */
  readonly orderBy: string;
  /** A condition that leaves out everything up to the cursor, or `true`. */
  readonly after: string;
  /** The cursor that points behind a row. */
  cursorOf(row: SortableDevice): string;
}

export interface SortableDevice {
  readonly id: string;
  readonly name: string;
  readonly tier: string;
  readonly enrolled_at: Date;
  readonly last_seen_at: Date | null;
}

/** @throws InvalidInputError for a cursor of another list or another sort */
export function deviceOrder(query: Pick<DeviceQuery, 'sort' | 'cursor'>, parameters: SqlParameters): DeviceOrder {
  const descending = query.sort.startsWith('-');
  const key = query.sort.replace(/^-/, '') as keyof typeof ORDERS;
  const { expression, type } = ORDERS[key];
  const direction = descending ? 'DESC' : 'ASC';
  let after = 'true';
  const cursor = decodeCursor(query.cursor, 3);
  if (cursor) {
    const value = sortValue(cursor, query.sort, type);
    const id = parameters.add(String(cursor[2]), 'text');
    after = `(${expression}, d.id) ${descending ? '<' : '>'} (${parameters.add(value, type)}, ${id})`;
  }
  return {
    orderBy: `${expression} ${direction}, d.id ${direction}`,
    after,
    cursorOf: (row) => encodeCursor([query.sort, valueOf(row, key), row.id]),
  };
}

function valueOf(row: SortableDevice, key: keyof typeof ORDERS): string | number | null {
  if (key === 'enrolledAt') return row.enrolled_at.getTime();
  if (key === 'lastSeenAt') return row.last_seen_at?.getTime() ?? null;
  return row[key];
}

function sortValue([sort, value, id]: readonly (string | number | null)[], expected: string, type: string): string {
  const fits = type === 'text' ? typeof value === 'string' : value === null || Math.abs(Number(value)) <= 8.64e15;
  if (sort !== expected || !fits || typeof id !== 'string' || `${value}${id}`.includes('\0')) {
    throw new InvalidInputError('The cursor belongs to another list or another sort.', {
      problems: [{ path: 'cursor', message: 'must be the nextCursor of a previous page with the same sort' }],
    });
  }
  if (type === 'text') return value as string;
  return value === null ? '-infinity' : new Date(Number(value)).toISOString();
}
