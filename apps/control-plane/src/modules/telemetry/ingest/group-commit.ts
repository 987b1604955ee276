/**
 * INVARIANTS
 * - What was added is committed, or refused one by one, before its promise resolves; the promise rejects only where neither could
 *   be done for now, and then the device sends again.
 * - A batch never waits for a larger one: what comes while all writers are busy becomes the next batch, so batches grow with the
 *   load and a lone message is committed at once.
 * - No more than `maxPendingBytes` are held.
 */
import { OperationError } from '@drover/runtime';
import { isRefusal, patiently } from './patience.ts';

/** More comes in than the database takes, or the process is stopping; the device sends again. */
export class IngestOverloadedError extends OperationError {}

/** Messages that are committed together. */
export interface Batch {
  /** Messages in it. */
  readonly size: number;
  /** Memory that it holds. */
  readonly bytes: number;
}

export interface GroupCommitOptions<B extends Batch> {
  /** Batches being written at a time. */
  readonly writers: number;
  readonly maxSize: number;
  readonly maxBytes: number;
  readonly maxPendingBytes: number;
  readonly patienceMs: number;
  open(): B;
  /** Writes a batch in one transaction. */
  commit(batch: B): Promise<void>;
  /** Two batches of about half the messages each. */
  split(batch: B): readonly [B, B];
  /** Sets aside a batch of one message, which was refused for what it says. */
  refuse(batch: B, error: unknown): Promise<void>;
  /** Told of every failure that is no refusal. */
  onFailure?(error: unknown): void;
}

interface Filling<B> {
  readonly batch: B;
  readonly done: PromiseWithResolvers<void>;
}

/** Collects messages into batches and commits them. Fill `batch`, then await `added()`. */
export class GroupCommit<B extends Batch> {
  readonly #options: GroupCommitOptions<B>;
  readonly #stopping = new AbortController();
  readonly #full: Filling<B>[] = [];
  #filling: Filling<B>;
  #queuedBytes = 0;
  #writing = 0;
  #scheduled = false;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: GroupCommitOptions<B>) {
    this.#options = options;
    this.#filling = this.#open();
  }

  /**
   * The batch to add the next message to, at once, without anything awaited in between.
   *
   * @throws IngestOverloadedError where too much is held already
   */
  get batch(): B {
    if (this.pendingBytes > this.#options.maxPendingBytes) {
      throw new IngestOverloadedError('More is coming in than the database takes; the device sends again.');
    }
    if (this.#stopping.signal.aborted)
      throw new IngestOverloadedError('This process is stopping; the device sends again.');
    return this.#filling.batch;
  }

  get pendingBytes(): number {
    return this.#queuedBytes + this.#filling.batch.bytes;
  }

  /** Resolves when what was just added to `batch` is committed. One promise for the whole batch. */
  added(): Promise<void> {
    const { batch, done } = this.#filling;
    if (batch.size >= this.#options.maxSize || batch.bytes >= this.#options.maxBytes) this.#close();
    this.#schedule();
    return done.promise;
  }

  /** Commits what is held; adds nothing any more. A database that is away is not waited for. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#pump();
    if (this.#writing === 0) return;
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
  }

  #open(): Filling<B> {
    const done = Promise.withResolvers<void>();
    // Whoever added a message handles the rejection; a batch that nobody waits for must not end the process.
    done.promise.catch(() => undefined);
    return { batch: this.#options.open(), done };
  }

  #close(): void {
    this.#queuedBytes += this.#filling.batch.bytes;
    this.#full.push(this.#filling);
    this.#filling = this.#open();
  }

  /** After this turn of the event loop: what other connections have sent meanwhile goes into the same batch. */
  #schedule(): void {
    if (this.#scheduled || this.#writing >= this.#options.writers) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#writing < this.#options.writers) {
      if (this.#full.length === 0) {
        if (this.#filling.batch.size === 0) break;
        this.#close();
      }
      void this.#write(this.#full.shift()!);
    }
  }

  async #write({ batch, done }: Filling<B>): Promise<void> {
    this.#writing += 1;
    const { bytes } = batch;
    try {
      await this.#commit(batch);
      done.resolve();
    } catch (error) {
      done.reject(error);
    } finally {
      this.#queuedBytes -= bytes;
      this.#writing -= 1;
      this.#pump();
      if (this.#writing === 0) this.#idle?.resolve();
    }
  }

  async #commit(batch: B): Promise<void> {
    const { patienceMs, onFailure } = this.#options;
    const patience = { patienceMs, signal: this.#stopping.signal, ...(onFailure ? { onFailure } : {}) };
    try {
      await patiently(patience, () => this.#options.commit(batch));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      await this.#isolate(batch, error);
    }
  }

  /** Halves a batch that holds a message the database refuses until that one is alone. */
  async #isolate(batch: B, error: unknown): Promise<void> {
    if (batch.size <= 1) return this.#options.refuse(batch, error);
    const [first, second] = this.#options.split(batch);
    await this.#commit(first);
    await this.#commit(second);
  }
}
