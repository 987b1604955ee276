import { InvalidInputError } from '@drover/runtime';

/** An opaque cursor: the sort values of the last row, so that a page never skips or repeats when rows come and go. */
export function encodeCursor(values: readonly (string | number | null)[]): string {
  return Buffer.from(JSON.stringify(values)).toString('base64url');
}

/** @throws InvalidInputError for a cursor that this list did not give out */
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
  throw new InvalidInputError('The cursor is not one that this list gave out.', {
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
