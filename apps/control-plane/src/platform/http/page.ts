import { InvalidInputError } from '@drover/runtime';

/** An opaque cursor: the sort values of the last row, so that a page never skips or repeats when rows come and go. */
export function encodeCursor(values: readonly (string | number | null)[]): string {
  return Buffer.from(JSON.stringify(values)).toString('base64url');
}

/** What stands at a place of a cursor, and as what it is wanted. */
interface CursorValues {
  text: string;
  /** ISO 8601. */
  instant: Date;
  /** What fits PostgreSQL's int4. */
  integer: number;
  /** What fits PostgreSQL's int8, as decimal digits. */
  serial: bigint;
}
type CursorKind = keyof CursorValues;

const MAX_INTEGER = 2_147_483_647;
const MAX_SERIAL = 2n ** 63n - 1n;

const READERS: { readonly [K in CursorKind]: (value: string | number | null) => CursorValues[K] | undefined } = {
  // PostgreSQL has no text with a NUL.
  text: (value) => (typeof value === 'string' && !value.includes('\0') ? value : undefined),
  instant: (value) => {
    const instant = new Date(typeof value === 'string' ? value : Number.NaN);
    return Number.isNaN(instant.getTime()) ? undefined : instant;
  },
  integer: (value) =>
    Number.isInteger(value) && Math.abs(value as number) <= MAX_INTEGER ? (value as number) : undefined,
  serial: (value) => {
    const serial = typeof value === 'string' && /^\d{1,19}$/.test(value) ? BigInt(value) : undefined;
    return serial !== undefined && serial <= MAX_SERIAL ? serial : undefined;
  },
};

/**
 * The values of a cursor, each of its kind.
 *
 * @throws InvalidInputError for a cursor that this list did not give out
 */
export function readCursor<const K extends readonly CursorKind[]>(
  cursor: string | undefined,
  kinds: K,
): { -readonly [I in keyof K]: CursorValues[K[I]] } | null {
  const values = decodeCursor(cursor, kinds.length)?.map((value, i) => READERS[kinds[i]!](value));
  if (values === undefined) return null;
  if (values.includes(undefined)) throw foreignCursor();
  return values as { -readonly [I in keyof K]: CursorValues[K[I]] };
}

/** @throws InvalidInputError for what is no cursor of that many values; what they are is the caller's to check */
export function decodeCursor(cursor: string | undefined, length: number): (string | number | null)[] | null {
  if (cursor === undefined) return null;
  try {
    const values: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (
      Array.isArray(values) &&
      values.length === length &&
      values.every((v) => v === null || ['string', 'number'].includes(typeof v))
    ) {
      return values as (string | number | null)[];
    }
  } catch {
    // Not ours: told below.
  }
  throw foreignCursor();
}

function foreignCursor(): InvalidInputError {
  return new InvalidInputError('The cursor is not one that this list gave out.', {
    problems: [{ path: 'cursor', message: 'must be the nextCursor of a previous page with the same sort' }],
  });
}

/** Cuts a list that was read with one row more than the page, and makes the next cursor of its last row. */
export function pageOfRows<T>(
  rows: T[],
  limit: number,
  cursorOf: (row: T) => readonly (string | number | null)[],
): { items: T[]; nextCursor: string | null } {
  if (rows.length <= limit) return { items: rows, nextCursor: null };
  const items = rows.slice(0, limit);
  return { items, nextCursor: encodeCursor(cursorOf(items.at(-1)!)) };
}
