import { DELIVERY_CLASSES } from '@drover/contracts';
import type { Delivery, DeliveryClass } from '@drover/contracts';
import { encodeMessage, footprint } from './outbox.ts';
import type { NewMessage, Outbox, OutboxStatus, SequenceRange, StoredMessage } from './outbox.ts';
import { DROP_ORDER } from './drop-order.ts';

export interface MemoryOutboxOptions {
  readonly bootId: string;
  readonly maxBytes?: number;
}

/** An outbox that forgets with its process: for simulators, thousands in one process. Everything counts as durable at once. */
export class MemoryOutbox implements Outbox {
  readonly bootId: string;
  readonly #maxBytes: number;
  readonly #queues = { m: new Map(), e: new Map(), s: new Map() } as Record<DeliveryClass, Map<number, StoredMessage>>;
  readonly #sequence: Record<DeliveryClass, number> = { m: 0, e: 0, s: 0 };
  readonly #dropped: Record<DeliveryClass, number> = { m: 0, e: 0, s: 0 };
  readonly #listeners = new Set<() => void>();
  #bytes = 0;
  #telling = false;

  constructor(options: MemoryOutboxOptions) {
    this.bootId = options.bootId;
    this.#maxBytes = options.maxBytes ?? 2 ** 20;
  }

  put(message: NewMessage): Delivery {
    const seq = this.#sequence[message.class] + 1;
    const delivery: Delivery = { bootId: this.bootId, class: message.class, seq };
    const payload = encodeMessage(message, delivery);
    this.#sequence[message.class] = seq;
    this.#queues[message.class].set(seq, { ...delivery, id: seq, topic: message.topic, payload });
    this.#bytes += footprint(message.topic, payload);
    this.#enforceBound();
    this.#tell();
    return delivery;
  }

  flush(): void {
    // Nothing is ever held back.
  }

  read(deliveryClass: DeliveryClass, afterId: number, limit: number, maxBytes: number): StoredMessage[] {
    const page: StoredMessage[] = [];
    let bytes = 0;
    for (const message of this.#queues[deliveryClass].values()) {
      if (message.id <= afterId) continue;
      bytes += message.payload.length;
      if (page.length >= limit || (page.length > 0 && bytes > maxBytes)) break;
      page.push(message);
    }
    return page;
  }

  remove(deliveryClass: DeliveryClass, ids: readonly number[]): void {
    for (const id of ids) this.#take(deliveryClass, id);
  }

  removeCommitted(bootId: string, deliveryClass: DeliveryClass, ranges: readonly SequenceRange[]): void {
    if (bootId !== this.bootId) return;
    const committed = (seq: number): boolean => ranges.some(([from, to]) => seq >= from && seq <= to);
    const ids = [...this.#queues[deliveryClass].keys()].filter(committed);
    this.remove(deliveryClass, ids);
  }

  status(): OutboxStatus {
    const pending = DELIVERY_CLASSES.reduce((sum, name) => sum + this.#queues[name].size, 0);
    return { pending, bytes: this.#bytes, dropped: { ...this.#dropped } };
  }

  onStored(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #enforceBound(): void {
    for (const { name, keep } of DROP_ORDER) {
      const queue = this.#queues[name];
      while (this.#bytes > this.#maxBytes && queue.size > keep) {
        this.#take(name, queue.keys().next().value!);
        this.#dropped[name] += 1;
      }
    }
  }

  #take(deliveryClass: DeliveryClass, id: number): void {
    const message = this.#queues[deliveryClass].get(id);
    if (message === undefined) return;
    this.#queues[deliveryClass].delete(id);
    this.#bytes -= footprint(message.topic, message.payload);
  }

  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      for (const listener of this.#listeners) listener();
    });
  }
}
