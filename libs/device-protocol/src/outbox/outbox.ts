import { encodeCbor, encodeJson, MAX_DEVICE_PACKET_BYTES } from '@drover/contracts';
import type { Delivery, DeliveryClass } from '@drover/contracts';
import { MessageTooLargeError } from '../errors.ts';

/** A message as its producer gives it: without `{bootId, class, seq}`, which the outbox adds. */
export interface NewMessage {
  readonly class: DeliveryClass;
  readonly topic: string;
  readonly body: object;
  /** Default `json`; `cbor` for large batches. */
  readonly codec?: 'json' | 'cbor';
}

/** A message as it is stored: the very bytes that are sent, however often. */
export interface StoredMessage extends Delivery {
  /** Rises with every message of a class, over restarts too. */
  readonly id: number;
  readonly topic: string;
  readonly payload: Uint8Array;
}

export type CountByClass = Readonly<Record<DeliveryClass, number>>;

export interface OutboxStatus {
  /** Stored messages, those not yet durable included. */
  readonly pending: number;
  readonly bytes: number;
  /** Since the store began: what it gave up because it was full. */
  readonly dropped: CountByClass;
}

/** Inclusive. */
export type SequenceRange = readonly [from: number, to: number];

/**
 * Where messages wait until the server has committed them.
 *
 * INVARIANTS: a sequence number is given once, when the message is put, and is part of the stored bytes; `read` gives only
 * what is durable, in the order it was put; a message leaves by `remove` or `removeCommitted`, or by being counted in
 * `dropped` where the bound on bytes leaves no choice (measurements first).
 */
export interface Outbox {
  /** One per process start. */
  readonly bootId: string;
  /** Takes a message, durable at the latest a few milliseconds later (or after `flush`). */
  put(message: NewMessage): Delivery;
  /** Makes everything put and removed so far durable. */
  flush(): void;
  /** Up to `limit` messages of a class after an id, and not more than about `maxBytes` of them (but at least one). */
  read(deliveryClass: DeliveryClass, afterId: number, limit: number, maxBytes: number): StoredMessage[];
  remove(deliveryClass: DeliveryClass, ids: readonly number[]): void;
  /** Removes what a server says it has committed, whichever boot it is of. */
  removeCommitted(bootId: string, deliveryClass: DeliveryClass, ranges: readonly SequenceRange[]): void;
  status(): OutboxStatus;
  /** Called, never synchronously with `put`, when there is something new to read. Returns how to stop listening. */
  onStored(listener: () => void): () => void;
}

/** @throws MessageTooLargeError where no server would take it */
export function encodeMessage(message: NewMessage, delivery: Delivery): Uint8Array {
  // The delivery last, so that a body can never bring a number of its own.
  const value = { ...message.body, ...delivery };
  const payload = message.codec === 'cbor' ? encodeCbor(value) : encodeJson(value);
  const size = payload.length + message.topic.length;
  if (size > MAX_DEVICE_PACKET_BYTES - 64) {
    throw new MessageTooLargeError(
      `A message on ${message.topic} is ${size} bytes; at most ${MAX_DEVICE_PACKET_BYTES - 64} are taken. Split the batch`,
    );
  }
  return payload;
}

/** What a stored message counts against the bound: its bytes and about what the store adds to them. */
export function footprint(topic: string, payload: Uint8Array): number {
  return payload.length + topic.length + 32;
}
