import type { Socket } from 'node:net';
import { DroverError, messageOf } from '@drover/runtime';
import {
  ConnectionLostError,
  ConnectionRefusedError,
  NotConnectedError,
  ServerUnreachableError,
  SubscriptionRefusedError,
} from '../errors.ts';
import { MqttClient } from './mqtt-client.ts';

export interface SessionOptions {
  readonly clientId: string;
  readonly will: { readonly topic: string; readonly payload: Uint8Array };
  readonly keepaliveSeconds: number;
  readonly timeoutMs: number;
}

export type Acknowledged = (error: Error | null) => void;

/**
 * One MQTT 3.1.1 connection from CONNECT to its end; never reconnects (each connection gets a new one, so that nothing of
 * the old is sent again behind the store's back).
 */
export class MqttSession {
  readonly #client: MqttClient;
  readonly #closed: Promise<DroverError>;
  readonly #pending = new Set<Acknowledged>();
  #onClosed!: (reason: DroverError) => void;
  #failure: DroverError | null = null;
  #ended = false;

  /** @param stream connected and ready for the CONNECT packet */
  constructor(stream: Socket, options: SessionOptions, onMessage: (topic: string, payload: Buffer) => void) {
    this.#closed = new Promise((resolve) => (this.#onClosed = resolve));
    this.#client = new MqttClient(() => stream, {
      protocolVersion: 4,
      clientId: options.clientId,
      clean: true,
      keepalive: options.keepaliveSeconds,
      connectTimeout: options.timeoutMs,
      // Reconnecting is the connection's: with full jitter, several addresses and a renewed identity.
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      timerVariant: 'native',
      will: {
        topic: options.will.topic,
        payload: Buffer.from(options.will.payload),
        qos: 1,
        retain: true,
      },
    });
    this.#client.on('message', onMessage);
    this.#client.on('error', (error) => (this.#failure ??= failureOf(error)));
    this.#client.once('close', () => this.#end());
  }

  /** Resolves, never rejects, with the reason once the connection is gone. */
  get closed(): Promise<DroverError> {
    return this.#closed;
  }

  /** @throws ConnectionRefusedError, ServerUnreachableError */
  async connected(): Promise<void> {
    const connack = new Promise<null>((resolve) => this.#client.once('connect', () => resolve(null)));
    // A broker that refuses should close, but one that does not must not hold us.
    this.#client.once('error', () => setImmediate(() => this.#client.stream.destroy()));
    const failure = await Promise.race([connack, this.#closed]);
    if (failure !== null) throw failure;
  }

  /** @throws SubscriptionRefusedError, ConnectionLostError */
  async subscribe(filters: Record<string, { qos: 0 | 1 }>): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#client.subscribe(filters, (error, granted) => {
        if (error !== null) {
          reject(this.#ended ? this.#lost() : new SubscriptionRefusedError(messageOf(error), { cause: error }));
          return;
        }
        const refused = (granted ?? []).find((grant) => grant.qos > 2);
        if (refused === undefined) resolve();
        else reject(new SubscriptionRefusedError(`The broker refused the subscription to ${refused.topic}`));
      });
    });
  }

  /** `acknowledged` is called exactly once: at PUBACK (for QoS 0 when written), or with an error when the connection is gone. */
  publish(
    topic: string,
    payload: Uint8Array,
    options: { qos: 0 | 1; retain?: boolean },
    acknowledged: Acknowledged,
  ): void {
    if (this.#ended || !this.#client.connected) {
      acknowledged(new NotConnectedError('There is no connection to the server'));
      return;
    }
    const once: Acknowledged = (error) => {
      if (this.#pending.delete(once)) acknowledged(error);
    };
    this.#pending.add(once);
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    this.#client.publish(topic, bytes, options, (error) => once(error ?? null));
  }

  /** Says goodbye, so that the broker does not publish the will, and waits until the socket is closed. */
  async end(timeoutMs: number): Promise<void> {
    if (this.#ended) return;
    this.#failure ??= new ConnectionLostError('The connection was closed by this side');
    this.#client.end(false);
    const timer = setTimeout(() => this.destroy(), timeoutMs);
    await this.#closed;
    clearTimeout(timer);
  }

  /** Cuts the connection; the broker publishes the will. */
  destroy(): void {
    this.#failure ??= new ConnectionLostError('The connection was cut by this side');
    this.#client.end(true);
    this.#client.stream.destroy();
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const reason = this.#lost();
    for (const acknowledged of this.#pending) acknowledged(reason);
    this.#pending.clear();
    this.#client.end(true);
    this.#client.on('error', () => undefined);
    this.#onClosed(reason);
  }

  #lost(): DroverError {
    return (this.#failure ??= new ConnectionLostError('The server closed the connection'));
  }
}

function failureOf(error: Error & { code?: unknown }): DroverError {
  if (error instanceof DroverError) return error;
  if (typeof error.code === 'number') return new ConnectionRefusedError(error.code, { cause: error });
  return error.message === 'connack timeout'
    ? new ServerUnreachableError('The broker did not answer CONNECT', { cause: error })
    : new ConnectionLostError(`The connection failed: ${messageOf(error)}`, { cause: error });
}
