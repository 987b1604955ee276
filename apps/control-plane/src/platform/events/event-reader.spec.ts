import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { testDatabase } from '../database/test-database.fixture.ts';
import type { TestDatabase } from '../database/test-database.fixture.ts';
import { EventReader, parsePosition } from './event-reader.ts';

let db: TestDatabase;
let reader: EventReader;

beforeAll(async () => {
  db = await testDatabase();
  reader = new EventReader(db.database);
});
afterAll(() => db.stop());
beforeEach(() => db.database.pool.query('DELETE FROM events'));

async function subjects(): Promise<string[]> {
  return (await reader.read(parsePosition('0'), 10)).map(({ subject }) => subject);
}

/** Events of transactions with these numbers, written as given; all are older than any that runs. */
async function write(...transactions: readonly number[]): Promise<void> {
  for (const [index, tx] of transactions.entries())
    await db.database.pool.query(
      `INSERT INTO events (tx, id, fleet_id, type, subject) VALUES ($1::xid8, $2, 'default', 'thing.changed', $3)`,
      [String(tx), index + 8, String(tx)],
    );
}

describe('the event reader', () => {
  it('orders transactions as numbers, so that no reader goes back or passes one over', async () => {
    await write(9, 10, 9, 100, 99);
    const seen: string[] = [];
    let position = parsePosition('0');
    for (;;) {
      const page = await reader.read(position, 2);
      if (page.length === 0) break;
      seen.push(...page.map(({ id }) => id));
      position = parsePosition(page.at(-1)!.id);
    }
    expect(seen).toEqual(['9-8', '9-10', '10-9', '99-12', '100-11']);
  });

  it('ends behind the newest event that can be read', async () => {
    expect(await reader.end()).toEqual({ tx: '0', id: '0' });
    await write(9, 10, 10);
    expect(await reader.end()).toEqual({ tx: '10', id: '10' });
    expect(await reader.read(await reader.end(), 10)).toEqual([]);
  });

  it('waits with an event until every older transaction has ended', async () => {
    const older = await db.database.pool.connect();
    const insert = `INSERT INTO events (fleet_id, type, subject) VALUES ('default', 'thing.changed', $1)`;
    try {
      await older.query('BEGIN');
      await older.query(insert, ['older']);
      await db.database.pool.query(insert, ['younger']);
      expect(await subjects()).toEqual([]);
      await older.query('COMMIT');
      // Transactions of other tests' databases on the same server may still be older.
      await expect.poll(subjects, { timeout: 20_000 }).toEqual(['older', 'younger']);
    } finally {
      older.release();
    }
  });
});
