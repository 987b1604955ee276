import { EventEmitter } from 'node:events';
import { deviceTopics, encodeJson } from '@drover/contracts';
import type { AckMessage, StatusMessage } from '@drover/contracts';
import { Backoff, silentLogger, sleep, systemClock } from '@drover/runtime';
import type { Clock, DroverError, Logger } from '@drover/runtime';
import type { TwinOrder } from '@drover/trust';
import { NotConnectedError } from '../errors.ts';
import type { ConnectionIdentity } from '../identity.ts';
import { parseBrokerUrl } from './broker-url.ts';
import { readIncoming } from './incoming.ts';
import { MqttSession } from './mqtt-session.ts';
import type { Acknowledged } from './mqtt-session.ts';
import { openStream } from './open-stream.ts';

export interface DeviceConnectionOptions {
  readonly identity: ConnectionIdentity;
  /** Instead of the identity's: tried in turn. */
  readonly urls?: readonly string[];
  /** One per process start; the same as the outbox has. */
  readonly bootId: string;
  readonly agentVersion: string;
  /** The desired document accepted last, for the status: the server sends again where it is behind. */
  readonly desiredSeen?: () => TwinOrder | null;
  readonly heartbeatMs?: number;
  readonly keepaliveSeconds?: number;
  /** For each step of connecting: socket and TLS, CONNACK, SUBACK. */
  readonly timeoutMs?: number;
  /** A connection that held this long counts as a success for the backoff. */
  readonly stableMs?: number;
  readonly backoff?: Backoff;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

export interface DeviceConnectionEvents {
  /** Connected, subscribed and announced. */
  online: [];
  offline: [reason: DroverError];
  /** One attempt at one URL failed. */
  failed: [failure: { url: string; error: DroverError }];
  ack: [message: AckMessage];
  /** A `twin/desired` document: not verified, see `TwinClient`. */
  desired: [bytes: Uint8Array];
  /** A signed command: not verified, see `TwinClient`. */
  command: [command: { type: string; id: string; bytes: Uint8Array }];
  chunk: [chunk: { digest: string; offset: number; bytes: Uint8Array }];
  /** The server sent what this version does not understand; it was ignored. */
  invalid: [message: { topic: string; error: DroverError }];
}

const END_TIMEOUT_MS = 2_000;

/**
 * A device's connection to its server, kept up until stopped. INVARIANTS: at most one MQTT session at a time; `online` and
 * `offline` alternate; nothing published is repeated on a later session (that is the outbox sender's).
 */
export class DeviceConnection extends EventEmitter<DeviceConnectionEvents> {
  readonly topics: ReturnType<typeof deviceTopics>;
  readonly #options: DeviceConnectionOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  #identity: ConnectionIdentity;
  #session: MqttSession | null = null;
  #running: Promise<void> | null = null;
  #heartbeatMs: number;
  #heartbeat: NodeJS.Timeout | null = null;
  #lastSentAt = 0;
  #hurried = false;
  #leaving = false;

  constructor(options: DeviceConnectionOptions) {
    super();
    this.#options = options;
    this.#identity = options.identity;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    this.#backoff = options.backoff ?? new Backoff(500, 60_000);
    this.#heartbeatMs = options.heartbeatMs ?? 30_000;
    this.topics = deviceTopics(options.identity.fleet, options.identity.device);
    // One per transfer under way and part of an agent; the default bound takes that for a leak.
    this.setMaxListeners(64);
  }

  get online(): boolean {
    return this.#session !== null;
  }

  /** Resolves once there is a connection (perhaps already), or rejects with the signal's reason. */
  whenOnline(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (this.online) return resolve();
      const done = (act: () => void): void => {
        this.off('online', onOnline);
        signal?.removeEventListener('abort', onAbort);
        act();
      };
      const onOnline = (): void => done(resolve);
      const onAbort = (): void => done(() => reject(signal?.reason));
      this.once('online', onOnline);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  get identity(): ConnectionIdentity {
    return this.#identity;
  }

  /** Begins to connect, and connects again whenever the connection is lost. */
  start(): void {
    this.#running ??= this.#run(this.#stopping.signal);
  }

  /** Says goodbye (status offline, retained) where there is a connection, and ends. Final. */
  async stop(): Promise<void> {
    const session = this.#session;
    if (session !== null && !this.#leaving) {
      this.#leaving = true;
      const goodbye = this.publish(this.topics.status, this.#status(false), { qos: 1, retain: true }).catch(
        () => undefined,
      );
      await Promise.race([goodbye, sleep(END_TIMEOUT_MS)]);
    }
    this.#stopping.abort();
    await session?.end(END_TIMEOUT_MS);
    await this.#running;
  }

  /** Takes a renewed identity of the same device and connects anew with it. */
  async useIdentity(identity: ConnectionIdentity): Promise<void> {
    this.#identity = identity;
    this.#hurried = true;
    await this.#session?.end(END_TIMEOUT_MS);
  }

  /** From the next interval on; presence is renewed by any traffic, the heartbeat fills the gaps. */
  setHeartbeat(heartbeatMs: number): void {
    this.#heartbeatMs = heartbeatMs;
    if (this.#session !== null) this.#scheduleHeartbeat();
  }

  /** Publishes the status now, e.g. because `desiredSeen` changed. Without a connection it does nothing: connecting does it. */
  announce(): void {
    // What was said last counts: after the goodbye nothing may say online again.
    if (this.#leaving) return;
    this.#session?.publish(this.topics.status, this.#status(true), { qos: 1, retain: true }, () => undefined);
    this.#lastSentAt = this.#clock.monotonic();
  }

  /**
   * Publishes, and calls back exactly once: when the broker acknowledged (QoS 0: when written), or with an error when it can
   * no longer do so. The cheap form for many messages; see also `publish`.
   */
  send(
    topic: string,
    payload: Uint8Array,
    options: { qos: 0 | 1; retain?: boolean },
    acknowledged: Acknowledged,
  ): void {
    if (this.#session === null) {
      acknowledged(new NotConnectedError('There is no connection to the server'));
      return;
    }
    this.#lastSentAt = this.#clock.monotonic();
    this.#session.publish(topic, payload, options, acknowledged);
  }

  /** @throws NotConnectedError, ConnectionLostError */
  publish(topic: string, payload: Uint8Array, options: { qos: 0 | 1; retain?: boolean }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.send(topic, payload, options, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      for (const url of this.#options.urls ?? this.#identity.mqtt.urls) {
        this.#hurried = false;
        if (await this.#serve(url, signal)) break;
        if (signal.aborted) return;
      }
      if (this.#hurried) continue;
      await sleep(this.#backoff.next(), signal).catch(() => undefined);
    }
  }

  /** One connection to one URL from beginning to end. False where it never came up. */
  async #serve(url: string, signal: AbortSignal): Promise<boolean> {
    let session: MqttSession;
    try {
      session = await this.#open(url, signal);
    } catch (error) {
      if (signal.aborted) return false;
      const failure = error as DroverError;
      this.#logger.debug({ url, code: failure.code, reason: failure.message }, 'connection attempt failed');
      this.emit('failed', { url, error: failure });
      return false;
    }
    const since = this.#clock.monotonic();
    this.#session = session;
    this.announce();
    this.#scheduleHeartbeat();
    this.#logger.info({ url }, 'connected');
    this.emit('online');
    const reason = await session.closed;
    this.#session = null;
    if (this.#heartbeat !== null) clearTimeout(this.#heartbeat);
    if (this.#clock.monotonic() - since >= (this.#options.stableMs ?? 5_000)) this.#backoff.reset();
    this.#logger.info({ url, code: reason.code, reason: reason.message }, 'connection ended');
    this.emit('offline', reason);
    return true;
  }

  async #open(url: string, signal: AbortSignal): Promise<MqttSession> {
    const timeoutMs = this.#options.timeoutMs ?? 20_000;
    const stream = await openStream(parseBrokerUrl(url), this.#identity, timeoutMs, signal);
    const session = new MqttSession(
      stream,
      {
        clientId: this.#identity.device,
        will: { topic: this.topics.status, payload: this.#status(false) },
        keepaliveSeconds: this.#options.keepaliveSeconds ?? 30,
        timeoutMs,
      },
      (topic, payload) => this.#receive(topic, payload),
    );
    const onAbort = (): void => session.destroy();
    const timer = setTimeout(onAbort, timeoutMs * 2);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await session.connected();
      // Before the status is published: what the server answers to it must find a subscriber.
      await session.subscribe({
        [this.topics.desired]: { qos: 1 },
        [this.topics.ack]: { qos: 1 },
        [this.topics.allCommands]: { qos: 1 },
        [this.topics.allChunks]: { qos: 0 },
      });
      signal.throwIfAborted();
      return session;
    } catch (error) {
      session.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  #receive(topic: string, payload: Uint8Array): void {
    const incoming = readIncoming(topic, payload);
    switch (incoming.kind) {
      case 'ack':
        return void this.emit('ack', incoming.message);
      case 'desired':
        return void this.emit('desired', payload);
      case 'command':
        return void this.emit('command', { type: incoming.type, id: incoming.id, bytes: payload });
      case 'chunk':
        return void this.emit('chunk', { digest: incoming.digest, offset: incoming.offset, bytes: payload });
      case 'invalid':
        return void this.emit('invalid', { topic, error: incoming.error });
    }
  }

  #status(online: boolean): Uint8Array {
    const seen = this.#options.desiredSeen?.() ?? null;
    const status: StatusMessage = {
      online,
      bootId: this.#options.bootId,
      agent: this.#options.agentVersion,
      ...(seen !== null && { desiredSeen: { epoch: seen.epoch, version: seen.version } }),
      at: this.#clock.now(),
    };
    return encodeJson(status);
  }

  #scheduleHeartbeat(): void {
    if (this.#heartbeat !== null) clearTimeout(this.#heartbeat);
    const dueInMs = this.#lastSentAt + this.#heartbeatMs - this.#clock.monotonic();
    this.#heartbeat = setTimeout(
      () => {
        if (this.#clock.monotonic() - this.#lastSentAt >= this.#heartbeatMs) this.announce();
        this.#scheduleHeartbeat();
      },
      Math.max(1, dueInMs),
    );
  }
}
