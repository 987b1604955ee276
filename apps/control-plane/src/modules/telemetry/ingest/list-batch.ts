import type { Batch } from './group-commit.ts';

/** Per item, beside its payload: what an object and its promise take. */
const OVERHEAD_BYTES = 256;

/** A batch of plain items, in the order in which they came. */
export class ListBatch<T> implements Batch {
  readonly items: T[] = [];
  #bytes = 0;

  get size(): number {
    return this.items.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(item: T, payloadBytes: number): void {
    this.items.push(item);
    this.#bytes += payloadBytes + OVERHEAD_BYTES;
  }

  static split<T>(batch: ListBatch<T>): readonly [ListBatch<T>, ListBatch<T>] {
    const middle = batch.items.length >> 1;
    return [ListBatch.of(batch.items.slice(0, middle)), ListBatch.of(batch.items.slice(middle))];
  }

  static of<T>(items: readonly T[]): ListBatch<T> {
    const batch = new ListBatch<T>();
    batch.items.push(...items);
    return batch;
  }
}
