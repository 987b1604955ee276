import type { Duplex } from 'node:stream';
import { OperationError } from '@drover/runtime';
import type { Client } from 'aedes';
import { filterMatches } from './topic-filter.ts';

export type DeliveryQos = 0 | 1;

/** The peer does not read what it is sent. */
export class ConnectionCongestedError extends OperationError {}

/** How long a connection that is closed may take to hand over what was sent to it before. */
const FLUSH_MS = 500;

/** One network connection of an MQTT client, from its socket's opening to its end. */
export class MqttConnection {
  readonly socket: Duplex;
  /** Set once CONNECT has been accepted. */
  clientId: string | undefined;
  client: Client | undefined;
  /** As the CONNECT packet brought it; the same object is published when the connection breaks. */
  will: object | undefined;
  ready = false;
  /** Nothing that still arrives counts. */
  closing = false;
  failed = false;
  /** The same client has connected again. */
  superseded = false;
  readonly #filters = new Map<string, DeliveryQos>();
  readonly #maxPendingBytes: number;
  readonly closed: Promise<void>;
  #pendingBytes = 0;

  constructor(socket: Duplex, maxPendingBytes: number) {
    this.socket = socket;
    this.#maxPendingBytes = maxPendingBytes;
    this.closed = new Promise((resolve) => {
      if (socket.destroyed) resolve();
      else socket.once('close', () => resolve());
    });
  }

  /** Bytes that were sent but not taken by the peer yet. */
  get pendingBytes(): number {
    return Math.max(this.#pendingBytes, this.socket.writableLength);
  }

  get congested(): boolean {
    return this.pendingBytes > this.#maxPendingBytes;
  }

  get subscriptions(): number {
    return this.#filters.size;
  }

  hasSubscribed(filter: string): boolean {
    return this.#filters.has(filter);
  }

  subscribed(filter: string, qos: number): void {
    this.#filters.set(filter, qos === 0 ? 0 : 1);
  }

  unsubscribed(filter: string): void {
    this.#filters.delete(filter);
  }

  /** The highest quality of service it asked for this topic with, or null where it did not subscribe. */
  grantedQos(topic: string): DeliveryQos | null {
    let granted: DeliveryQos | null = this.#filters.get(topic) ?? null;
    if (granted === 1) return 1;
    for (const [filter, qos] of this.#filters) {
      if (qos >= (granted ?? 0) && filterMatches(filter, topic)) granted = qos;
      if (granted === 1) break;
    }
    return granted;
  }

  /**
   * Sends to this connection, whether it subscribed or not. Resolves once the peer's socket has taken it: true, or false where
   * the connection ended first.
   *
   * @throws ConnectionCongestedError where too much waits already
   */
  send(topic: string, payload: Buffer, qos: DeliveryQos): Promise<boolean> {
    if (!this.ready || this.closing || !this.client) return Promise.resolve(false);
    const bytes = payload.length + topic.length;
    if (this.#pendingBytes + bytes > this.#maxPendingBytes) {
      return Promise.reject(
        new ConnectionCongestedError(`${this.#pendingBytes} bytes wait for ${this.clientId} already`),
      );
    }
    this.#pendingBytes += bytes;
    const { client } = this;
    return new Promise((resolve) => {
      client.publish({ cmd: 'publish', topic, payload, qos, retain: false, dup: false }, () => {
        this.#pendingBytes -= bytes;
        resolve(!client.closed);
      });
    });
  }

  /** Ends at once. The will is published where there is one. */
  destroy(): void {
    this.closing = true;
    this.ready = false;
    this.socket.destroy();
  }

  /** Takes nothing more in, hands over what was sent, then ends. */
  async end(): Promise<void> {
    this.closing = true;
    this.ready = false;
    this.socket.end();
    const timer = setTimeout(() => this.socket.destroy(), FLUSH_MS);
    await this.closed;
    clearTimeout(timer);
  }
}
