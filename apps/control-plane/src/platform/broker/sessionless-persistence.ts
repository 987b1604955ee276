import { Readable } from 'node:stream';
import { OperationError } from '@drover/runtime';
import type { RetainedDocuments } from './retained-documents.ts';

interface Owner {
  readonly id: string;
}
interface Identified {
  readonly messageId?: number;
}

/** The packet is not stored; what aedes wants to hear then. */
export class PacketNotStoredError extends OperationError {}

/**
 * What aedes keeps for its clients: almost nothing. Every connection is a clean session, so there are no subscriptions and no
 * queues to outlive a connection (a persistent session of MQTT 3.1.1 never expires, and delivers after a
 * revocation what was queued before). Wills live with their connection; retained documents are looked up by topic, where
 * aedes' own memory store walks through all of them at every subscription.
 *
 * The identifiers of half-finished QoS 2 messages are kept per connection, not per client id, and only those: the message itself is committed
 * when its PUBREC is written.
 */
export class SessionlessPersistence {
  readonly #retained: RetainedDocuments | undefined;
  readonly #incoming = new WeakMap<Owner, Set<number | undefined>>();

  constructor(retained?: RetainedDocuments) {
    this.#retained = retained;
  }

  async setup(): Promise<void> {}
  async destroy(): Promise<void> {}

  async storeRetained(): Promise<void> {}

  createRetainedStreamCombi(filters: readonly string[]): Readable {
    const found: object[] = [];
    for (const topic of filters) {
      const payload = this.#retained?.get(topic);
      if (payload !== undefined) found.push({ cmd: 'publish', qos: 1, topic, payload, retain: true });
    }
    return Readable.from(found);
  }

  async addSubscriptions(): Promise<void> {}
  async removeSubscriptions(): Promise<void> {}
  async cleanSubscriptions(): Promise<void> {}
  async subscriptionsByClient(): Promise<never[]> {
    return [];
  }
  async subscriptionsByTopic(): Promise<never[]> {
    return [];
  }

  async outgoingEnqueue(): Promise<void> {}
  async outgoingEnqueueCombi(): Promise<void> {}
  async outgoingUpdate(): Promise<void> {}
  async outgoingClearMessageId(): Promise<undefined> {}
  outgoingStream(): Readable {
    return Readable.from([]);
  }

  async incomingStorePacket(client: Owner, packet: Identified): Promise<void> {
    const stored = this.#incoming.get(client) ?? new Set();
    stored.add(packet.messageId);
    this.#incoming.set(client, stored);
  }
  async incomingGetPacket(client: Owner, packet: Identified): Promise<Identified> {
    if (!this.#incoming.get(client)?.has(packet.messageId)) throw new PacketNotStoredError('No such packet');
    return packet;
  }
  async incomingDelPacket(client: Owner, packet: Identified): Promise<void> {
    this.#incoming.get(client)?.delete(packet.messageId);
  }
  async cleanIncoming(client: Owner): Promise<void> {
    this.#incoming.delete(client);
  }

  async putWill(): Promise<void> {}
  async delWill(): Promise<void> {}
  async getWill(): Promise<undefined> {}
  streamWill(): Readable {
    return Readable.from([]);
  }
}
