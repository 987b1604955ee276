import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { DELIVERY_CLASSES } from '@drover/contracts';
import type { DeliveryClass } from '@drover/contracts';
import type { StoredMessage } from './outbox.ts';

interface Totals {
  count: number;
  bytes: number;
  dropped: number;
}

/** Ids above `base`, up to the next boot's base, are this boot's: `seq = id − base`. */
interface Boot {
  readonly base: number;
  readonly bootId: string;
}

type Row = { id: number; topic: string; payload: Uint8Array; size: number };

const byClass = <T>(make: (name: DeliveryClass) => T): Record<DeliveryClass, T> => ({
  m: make('m'),
  e: make('e'),
  s: make('s'),
});

/**
 * The rows of an outbox and their totals. INVARIANT: `totals` is what the tables hold; both change in the same transaction,
 * so that a start needs not count a million rows.
 */
export class SqliteTables {
  readonly #database: DatabaseSync;
  readonly #boots: Record<DeliveryClass, Boot[]>;
  readonly #insert: Record<DeliveryClass, StatementSync>;
  readonly #read: Record<DeliveryClass, StatementSync>;
  readonly #measure: Record<DeliveryClass, StatementSync>;
  readonly #sizes: Record<DeliveryClass, StatementSync>;
  readonly #some: Record<DeliveryClass, StatementSync>;
  readonly #delete: Record<DeliveryClass, StatementSync>;
  readonly #saveTotals: StatementSync;
  #totals: Record<DeliveryClass, Totals>;

  /** @param firstIds ids of the present boot begin after these, or after what is stored where that is higher */
  constructor(database: DatabaseSync, bootId: string, firstIds: Readonly<Record<DeliveryClass, number>>) {
    this.#database = database;
    this.#insert = byClass((name) => database.prepare(`INSERT INTO ${name} VALUES (?, ?, ?, ?)`));
    this.#read = byClass((name) => database.prepare(`SELECT * FROM ${name} WHERE id > ? ORDER BY id LIMIT ?`));
    this.#measure = byClass((name) =>
      database.prepare(`SELECT count(*) AS count, total(size) AS bytes FROM ${name} WHERE id BETWEEN ? AND ?`),
    );
    this.#sizes = byClass((name) => database.prepare(`SELECT id, size FROM ${name} ORDER BY id LIMIT ?`));
    this.#some = byClass((name) => database.prepare(`SELECT 1 FROM ${name} WHERE id BETWEEN ? AND ? LIMIT 1`));
    this.#delete = byClass((name) => database.prepare(`DELETE FROM ${name} WHERE id BETWEEN ? AND ?`));
    this.#saveTotals = database.prepare('UPDATE totals SET count = ?, bytes = ?, dropped = ? WHERE class = ?');
    const readTotals = database.prepare('SELECT count, bytes, dropped FROM totals WHERE class = ?');
    this.#totals = byClass((name) => ({ ...(readTotals.get(name) as unknown as Totals) }));
    this.#boots = this.#beginBoot(bootId, firstIds);
  }

  get totals(): Readonly<Record<DeliveryClass, Readonly<Totals>>> {
    return this.#totals;
  }

  /** Of the present boot. */
  base(name: DeliveryClass): number {
    return this.#boots[name].at(-1)!.base;
  }

  bytes(): number {
    return this.#totals.m.bytes + this.#totals.e.bytes + this.#totals.s.bytes;
  }

  /** All or nothing; the totals with it. */
  transaction(act: (tables: this) => void): void {
    const before = structuredClone(this.#totals);
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      act(this);
      for (const name of DELIVERY_CLASSES) {
        const { count, bytes, dropped } = this.#totals[name];
        this.#saveTotals.run(count, bytes, dropped, name);
      }
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#totals = before;
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  insert({ class: name, id, topic, payload, size }: StoredMessage & { size: number }): void {
    this.#insert[name].run(id, topic, payload, size);
    this.#totals[name].count += 1;
    this.#totals[name].bytes += size;
  }

  read(name: DeliveryClass, afterId: number, limit: number, maxBytes: number): StoredMessage[] {
    const page: StoredMessage[] = [];
    let bytes = 0;
    for (const row of this.#read[name].iterate(afterId, limit) as Iterable<unknown> as Iterable<Row>) {
      bytes += row.payload.length;
      if (page.length > 0 && bytes > maxBytes) break;
      const boot = this.#boots[name].findLast((candidate) => candidate.base < row.id)!;
      const { id, topic, payload } = row;
      page.push({ bootId: boot.bootId, class: name, seq: id - boot.base, id, topic, payload });
    }
    return page;
  }

  deleteIds(name: DeliveryClass, ids: readonly number[]): void {
    for (const [from, to] of rangesOf(ids)) this.#deleteRange(name, from, to);
  }

  deleteSequences(bootId: string, name: DeliveryClass, from: number, to: number): void {
    const index = this.#boots[name].findIndex((boot) => boot.bootId === bootId);
    if (index < 0) return;
    const { base } = this.#boots[name][index]!;
    const end = this.#boots[name][index + 1]?.base ?? Number.MAX_SAFE_INTEGER;
    this.#deleteRange(name, base + Math.max(1, from), Math.min(base + to, end));
  }

  /** Gives up the oldest until about `excess` bytes are free, all but the newest `keep`. @returns bytes freed */
  dropOldest(name: DeliveryClass, excess: number, keep: number): number {
    let freed = 0;
    let count = 0;
    let last = 0;
    const available = this.#totals[name].count - keep;
    for (const row of this.#sizes[name].iterate(Math.max(0, available)) as Iterable<unknown> as Iterable<Row>) {
      freed += row.size;
      count += 1;
      last = row.id;
      if (freed >= excess) break;
    }
    if (count === 0) return 0;
    this.#deleteRange(name, 0, last);
    this.#totals[name].dropped += count;
    return freed;
  }

  addDropped(counts: Readonly<Record<DeliveryClass, number>>): void {
    for (const name of DELIVERY_CLASSES) this.#totals[name].dropped += counts[name];
  }

  #deleteRange(name: DeliveryClass, from: number, to: number): void {
    const { count, bytes } = this.#measure[name].get(from, to) as { count: number; bytes: number };
    if (count === 0) return;
    this.#delete[name].run(from, to);
    this.#totals[name].count -= count;
    this.#totals[name].bytes -= bytes;
  }

  /** Ids go on after the last one stored; boots of which nothing is left are forgotten. */
  #beginBoot(bootId: string, firstIds: Readonly<Record<DeliveryClass, number>>): Record<DeliveryClass, Boot[]> {
    const read = this.#database.prepare('SELECT base, boot_id AS bootId FROM boots WHERE class = ? ORDER BY base');
    const save = this.#database.prepare('INSERT INTO boots VALUES (?, ?, ?)');
    const forget = this.#database.prepare('DELETE FROM boots WHERE class = ? AND base = ?');
    this.#database.exec('BEGIN IMMEDIATE');
    const boots = byClass((name) => {
      const known = read.all(name) as unknown as Boot[];
      const last = this.#database.prepare(`SELECT max(id) AS id FROM ${name}`).get() as { id: number | null };
      const left = known.filter(({ base }, index) => {
        const end = known[index + 1]?.base ?? Number.MAX_SAFE_INTEGER;
        const some = this.#some[name].get(base + 1, end) !== undefined;
        if (!some) forget.run(name, base);
        return some;
      });
      const base = Math.max(last.id ?? 0, firstIds[name]);
      save.run(name, base, bootId);
      return [...left, { base, bootId }];
    });
    this.#database.exec('COMMIT');
    return boots;
  }
}

/** Runs of neighbouring numbers: `[3, 1, 2, 7]` → `[1, 3], [7, 7]`. */
function rangesOf(ids: readonly number[]): [from: number, to: number][] {
  const ranges: [number, number][] = [];
  for (const id of [...ids].toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && id <= last[1] + 1) last[1] = id;
    else ranges.push([id, id]);
  }
  return ranges;
}
