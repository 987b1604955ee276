/**
 * Collects single writes into statements for many. The first item is written at once; what arrives while a write is running
 * goes with the next. So a lone item pays no delay, and a flood pays one round trip per batch.
 */
export class BatchQueue<T> {
  readonly #write: (items: readonly T[]) => Promise<void>;
  readonly #maxItems: number;
  #waiting: { item: T; resolve: () => void; reject: (reason: unknown) => void }[] = [];
  #running = false;

  /** @param write commits all items or none; its rejection is everyone's in the batch */
  constructor(write: (items: readonly T[]) => Promise<void>, maxItems = 500) {
    this.#write = write;
    this.#maxItems = maxItems;
  }

  /** Resolves once the item is written. */
  add(item: T): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    // What arrives in this turn of the event loop belongs to the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#maxItems);
      try {
        await this.#write(batch.map(({ item }) => item));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#running = false;
  }
}
