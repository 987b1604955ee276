import type { DatabaseSync } from 'node:sqlite';
import { DELIVERY_CLASSES } from '@drover/contracts';
import type { Delivery, DeliveryClass } from '@drover/contracts';
import { messageOf } from '@drover/runtime';
import { OutboxUnusableError } from '../errors.ts';
import { DROP_ORDER } from './drop-order.ts';
import { encodeMessage, footprint } from './outbox.ts';
import type { NewMessage, Outbox, OutboxStatus, SequenceRange, StoredMessage } from './outbox.ts';
import { isCorruption, openStore, setAside } from './sqlite-schema.ts';
import { SqliteTables } from './sqlite-tables.ts';

/** What a person should know of; the store has already gone on. */
export type OutboxProblem =
  /** The file was damaged: it is called `movedTo` now, and a new one has begun. */
  | { readonly kind: 'damaged'; readonly movedTo: string; readonly cause: string }
  /** Writing failed (a full disk, for one); what was put waits in memory, and is tried again. */
  | { readonly kind: 'write-failed'; readonly cause: string };

export interface SqliteOutboxOptions {
  readonly path: string;
  readonly bootId: string;
  /** Bound on what is stored; at least 1 MiB. */
  readonly maxBytes: number;
  /** Messages put within this time become durable together. */
  readonly commitWithinMs?: number;
  readonly onProblem?: (problem: OutboxProblem) => void;
}

const MIN_BYTES = 2 ** 20;
const COMMIT_AT_MESSAGES = 256;
/** Held in memory while the disk cannot be written. */
const MAX_WAITING_BYTES = 4 * 2 ** 20;
const REMOVE_WITHIN_MS = 100;
const RETRY_AFTER_MS = 1_000;

/**
 * The agent's outbox: a SQLite file, each group of messages one synced transaction. Survives kill -9 and power cuts; what was
 * put less than `commitWithinMs` ago and not flushed may be lost with them.
 */
export class SqliteOutbox implements Outbox {
  readonly bootId: string;
  readonly #options: SqliteOutboxOptions;
  readonly #listeners = new Set<() => void>();
  readonly #sequence: Record<DeliveryClass, number> = { m: 0, e: 0, s: 0 };
  readonly #lost: Record<DeliveryClass, number> = { m: 0, e: 0, s: 0 };
  #database: DatabaseSync | null = null;
  #tables!: SqliteTables;
  #waiting: (StoredMessage & { size: number })[] = [];
  #waitingBytes = 0;
  #removals: Record<DeliveryClass, number[]> = { m: [], e: [], s: [] };
  #timer: NodeJS.Timeout | null = null;
  #timerDueAt = Number.POSITIVE_INFINITY;

  constructor(options: SqliteOutboxOptions) {
    this.#options = { ...options, maxBytes: Math.max(MIN_BYTES, options.maxBytes) };
    this.bootId = options.bootId;
  }

  /** @throws OutboxUnusableError */
  start(): void {
    if (this.#database !== null) return;
    try {
      this.#open({ m: 0, e: 0, s: 0 });
    } catch (error) {
      if (!isCorruption(error)) throw error;
      this.#beginAnew(error);
    }
    if (this.status().pending > 0) this.#tell();
  }

  /** Writes what is waiting and closes the file. */
  stop(): void {
    if (this.#database === null) return;
    this.flush();
    this.#clearTimer();
    this.#database.close();
    this.#database = null;
  }

  put(message: NewMessage): Delivery {
    const seq = this.#sequence[message.class] + 1;
    const delivery: Delivery = { bootId: this.bootId, class: message.class, seq };
    const payload = encodeMessage(message, delivery);
    const size = footprint(message.topic, payload);
    const id = this.#openTables().base(message.class) + seq;
    this.#sequence[message.class] = seq;
    this.#waiting.push({ ...delivery, id, topic: message.topic, payload, size });
    this.#waitingBytes += size;
    if (this.#waiting.length % COMMIT_AT_MESSAGES === 0) this.#schedule(0);
    else this.#schedule(this.#options.commitWithinMs ?? 5);
    return delivery;
  }

  flush(): void {
    this.#clearTimer();
    const stored = this.#waiting.length > 0;
    if (!stored && !this.#hasRemovals()) return;
    try {
      this.#write();
    } catch (error) {
      this.#onWriteFailure(error);
      return;
    }
    if (stored) this.#tell();
  }

  read(deliveryClass: DeliveryClass, afterId: number, limit: number, maxBytes: number): StoredMessage[] {
    // A reader that starts over must not see again what was removed but not yet deleted.
    if (this.#removals[deliveryClass].some((id) => id > afterId)) this.flush();
    try {
      return this.#openTables().read(deliveryClass, afterId, limit, maxBytes);
    } catch (error) {
      if (!isCorruption(error)) throw error;
      this.#beginAnew(error);
      return [];
    }
  }

  remove(deliveryClass: DeliveryClass, ids: readonly number[]): void {
    this.#removals[deliveryClass].push(...ids);
    this.#schedule(REMOVE_WITHIN_MS);
  }

  removeCommitted(bootId: string, deliveryClass: DeliveryClass, ranges: readonly SequenceRange[]): void {
    // Rare next to `remove` (a confirmation covers many messages), so written at once, after what it may refer to.
    this.flush();
    try {
      this.#openTables().transaction((tables) => {
        for (const [from, to] of ranges) tables.deleteSequences(bootId, deliveryClass, from, to);
      });
    } catch (error) {
      this.#onWriteFailure(error);
    }
  }

  status(): OutboxStatus {
    const totals = this.#openTables().totals;
    const sum = (of: 'count' | 'bytes'): number => DELIVERY_CLASSES.reduce((n, name) => n + totals[name][of], 0);
    const dropped = (name: DeliveryClass): number => totals[name].dropped + this.#lost[name];
    return {
      pending: sum('count') + this.#waiting.length,
      bytes: sum('bytes') + this.#waitingBytes,
      dropped: { m: dropped('m'), e: dropped('e'), s: dropped('s') },
    };
  }

  onStored(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #open(firstIds: Readonly<Record<DeliveryClass, number>>): void {
    const database = openStore(this.#options.path);
    try {
      this.#tables = new SqliteTables(database, this.bootId, firstIds);
    } catch (error) {
      database.close();
      throw error;
    }
    this.#database = database;
  }

  #write(): void {
    this.#openTables().transaction((tables) => {
      for (const message of this.#waiting) tables.insert(message);
      for (const name of DELIVERY_CLASSES) tables.deleteIds(name, this.#removals[name]);
      let excess = tables.bytes() - this.#options.maxBytes;
      for (const { name, keep } of DROP_ORDER) {
        if (excess > 0) excess -= tables.dropOldest(name, excess, keep);
      }
      tables.addDropped(this.#lost);
    });
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#removals = { m: [], e: [], s: [] };
    for (const name of DELIVERY_CLASSES) this.#lost[name] = 0;
  }

  #onWriteFailure(error: unknown): void {
    if (isCorruption(error)) {
      this.#beginAnew(error);
      return;
    }
    this.#options.onProblem?.({ kind: 'write-failed', cause: messageOf(error) });
    for (const { name, keep } of DROP_ORDER) this.#giveUpWaiting(name, keep);
    this.#schedule(RETRY_AFTER_MS);
  }

  /** The disk does not take it and memory has an end. */
  #giveUpWaiting(name: DeliveryClass, keep: number): void {
    let left = this.#waiting.filter((message) => message.class === name).length;
    this.#waiting = this.#waiting.filter((message) => {
      if (message.class !== name || left <= keep || this.#waitingBytes <= MAX_WAITING_BYTES) return true;
      left -= 1;
      this.#waitingBytes -= message.size;
      this.#lost[name] += 1;
      return false;
    });
  }

  #beginAnew(cause: unknown): void {
    try {
      this.#database?.close();
    } catch {
      // A damaged file may not even close well; it is put aside next.
    }
    this.#database = null;
    const movedTo = setAside(this.#options.path);
    this.#removals = { m: [], e: [], s: [] };
    // Numbers and ids of this boot go on: what waits has them already, and readers stand at one of them.
    const tables = this.#tables as SqliteTables | undefined;
    const firstId = (name: DeliveryClass): number => tables?.base(name) ?? 0;
    this.#open({ m: firstId('m'), e: firstId('e'), s: firstId('s') });
    this.#options.onProblem?.({ kind: 'damaged', movedTo, cause: messageOf(cause) });
    if (this.#waiting.length > 0) this.#schedule(0);
  }

  #openTables(): SqliteTables {
    if (this.#database === null) throw new OutboxUnusableError('The message store is not open');
    return this.#tables;
  }

  #hasRemovals(): boolean {
    return DELIVERY_CLASSES.some((name) => this.#removals[name].length > 0);
  }

  #schedule(inMs: number): void {
    const dueAt = performance.now() + inMs;
    if (dueAt >= this.#timerDueAt) return;
    this.#clearTimer();
    this.#timerDueAt = dueAt;
    this.#timer = setTimeout(() => this.flush(), inMs);
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#timerDueAt = Number.POSITIVE_INFINITY;
  }

  #tell(): void {
    queueMicrotask(() => {
      for (const listener of this.#listeners) listener();
    });
  }
}
