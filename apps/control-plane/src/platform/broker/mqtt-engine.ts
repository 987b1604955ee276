import { CallerError, OperationError, messageOf } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { Aedes } from 'aedes';
import type { Client, ConnectPacket, PublishPacket } from 'aedes';
import type { MqttConnection } from './mqtt-connection.ts';
import { PacketMeter, meterSocket } from './packet-meter.ts';
import type { PacketLimits } from './packet-meter.ts';
import type { SessionlessPersistence } from './sessionless-persistence.ts';

/** Return codes of CONNACK (MQTT 3.1.1, 3.2.2.3). */
export const IDENTIFIER_REJECTED = 2;
export const SERVER_UNAVAILABLE = 3;
export const BAD_CREDENTIALS = 4;
export const NOT_AUTHORISED = 5;

export interface Refusal {
  readonly returnCode: 2 | 3 | 4 | 5;
  /** For the log and the counter, kebab case. */
  readonly reason: string;
}

/** What a peer did that ends its connection. */
export class PacketRefusedError extends CallerError {}
/** The message cannot be committed now; the connection is dropped, and the peer sends again. */
export class NotCommittedError extends OperationError {}

/** What an endpoint decides; the engine does the protocol. Nothing here may throw. */
export interface MqttRules<C extends MqttConnection> {
  /** Whether to accept a CONNECT. May give it another client id. */
  admit(connection: C, packet: ConnectPacket): Promise<Refusal | null>;
  /** Calls back once the message may be acknowledged, or with an error that ends the connection. */
  publish(connection: C, packet: PublishPacket, will: boolean, done: (error?: Error) => void): void;
  maySubscribe(connection: C, filter: string): boolean;
  /** A connection was refused or ended for what it did. */
  refused(reason: string, connection: C, detail: string): void;
}

export interface EngineOptions<C extends MqttConnection> {
  readonly rules: MqttRules<C>;
  readonly persistence: SessionlessPersistence;
  readonly packets: PacketLimits;
  readonly logger: Logger;
  /** For the network connection's CONNECT. */
  readonly connectTimeoutMs?: number;
  /** How long a peer may not read at all what it is sent. */
  readonly drainTimeoutMs?: number;
}

const KEEPALIVE_LIMIT_SECONDS = 1_200;
const MAX_CLIENT_ID = 256;
const MAX_FILTERS = 64;

/**
 * aedes as a protocol engine: packets, handshakes, acknowledgements, keep-alive. It distributes nothing: an endpoint sends to the
 * connections it knows, so a message can reach only whom it was addressed to, and a stalled one holds up nobody else.
 *
 * INVARIANTS
 * - One connection per client id; the newest wins, and the will of the one it replaced is not published.
 * - No state outlives a connection: every session is a clean one, whatever the client asked for.
 * - No peer can end the process: errors of aedes end a connection.
 */
export class MqttEngine<C extends MqttConnection> {
  readonly #options: EngineOptions<C>;
  readonly #aedes: QuietAedes;
  readonly #all = new Set<C>();
  readonly #byId = new Map<string, C>();
  #refusedIds = 0;
  #stopping = false;

  constructor(options: EngineOptions<C>) {
    this.#options = options;
    this.#aedes = new QuietAedes({
      persistence: options.persistence,
      mq: silentEmitter,
      connectTimeout: options.connectTimeoutMs ?? 10_000,
      drainTimeout: options.drainTimeoutMs ?? 20_000,
      keepaliveLimit: KEEPALIVE_LIMIT_SECONDS,
      maxClientsIdLength: MAX_CLIENT_ID,
      maxInflightInbound: 64,
      heartbeatInterval: 3_600_000,
      preConnect: (client, packet, done) => void this.#preConnect(client, packet, done),
      authenticate: (client, _user, _password, done) => this.#authenticate(client, done as never),
      authorizePublish: (client, packet, done) => this.#authorizePublish(client, packet, done as never),
      authorizeSubscribe: (client, subscription, done) => {
        const connection = connectionOf<C>(client);
        const error = this.#refuseSubscription(connection, subscription.topic);
        // Noted here and not when it is acknowledged: a packet can bring many filters, and they count together.
        if (!error) connection.subscribed(subscription.topic, subscription.qos);
        done(error, error ? null : subscription);
      },
    });
  }

  async start(): Promise<void> {
    const broker = this.#aedes;
    // Without a listener for `error` a failure inside would end the process.
    broker.on(
      'error' as never,
      ((error: Error) => this.#options.logger.error({ err: messageOf(error) }, 'The MQTT engine failed')) as never,
    );
    broker.on('clientError', (client, error) => this.#failed(client, error));
    broker.on('connectionError', (client, error) => this.#failed(client, error));
    // Not `clientReady`, which comes a little later: by then the client may have asked something already.
    broker.on('connackSent', (packet, client) => {
      const connection = connectionOf<C>(client);
      connection.ready = packet.returnCode === 0 && !connection.closing;
    });
    broker.on('unsubscribe', (filters, client) => {
      for (const filter of filters) connectionOf<C>(client).unsubscribed(filter);
    });
    await broker.listen();
  }

  /** Ends every connection, without their wills: they are about to come back. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const all = [...this.#all];
    for (const connection of all) connection.destroy();
    await Promise.all(all.map((connection) => connection.closed));
    await new Promise<void>((resolve) => this.#aedes.close(resolve));
  }

  /** Speaks MQTT on a socket from here on. */
  attach(connection: C): void {
    const { socket } = connection;
    if (this.#stopping || socket.destroyed) {
      socket.destroy();
      return;
    }
    this.#all.add(connection);
    socket.once('close', () => {
      connection.ready = false;
      connection.closing = true;
      this.#all.delete(connection);
      if (this.#byId.get(connection.clientId ?? '') === connection) this.#byId.delete(connection.clientId!);
    });
    meterSocket(socket, new PacketMeter(this.#options.packets), (violation) => {
      this.#options.rules.refused(violation, connection, 'a packet');
      connection.destroy();
    });
    this.#aedes.handle(socket, connection as never);
  }

  get connections(): Iterable<C> {
    return this.#all;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The client's connection, once its CONNECT has been answered. */
  find(clientId: string): C | undefined {
    const connection = this.#byId.get(clientId);
    return connection?.ready ? connection : undefined;
  }

  /** The client's connection, also while it is being set up. */
  findAny(clientId: string): C | undefined {
    return this.#byId.get(clientId);
  }

  async #preConnect(client: Client, packet: ConnectPacket, done: (error: Error | null, ok: boolean) => void) {
    const connection = connectionOf<C>(client);
    connection.client = client;
    // Another version is answered by the engine itself.
    if (packet.protocolVersion !== 3 && packet.protocolVersion !== 4) return done(null, true);
    let refusal: Refusal | null;
    try {
      refusal = await this.#options.rules.admit(connection, packet);
    } catch (error) {
      this.#options.logger.warn({ err: messageOf(error) }, 'Whether a connection may be accepted cannot be told now');
      refusal = { returnCode: SERVER_UNAVAILABLE, reason: 'unavailable' };
    }
    packet.clean = true;
    if (refusal) {
      refusals.set(connection, refusal);
      this.#options.rules.refused(refusal.reason, connection, 'CONNECT');
      // So that nothing that follows can touch what belongs to the id it asked for.
      packet.clientId = `refused-${++this.#refusedIds}`;
      delete packet.will;
    } else {
      connection.clientId = packet.clientId;
      connection.will = packet.will;
    }
    done(null, true);
  }

  #authenticate(client: Client, done: (error: (Error & { returnCode?: number }) | null, ok: boolean) => void): void {
    const connection = connectionOf<C>(client);
    const refusal = refusals.get(connection);
    if (refusal) {
      const error = Object.assign(new PacketRefusedError(refusal.reason), { returnCode: refusal.returnCode });
      done(error, false);
      return;
    }
    if (connection.closing || connection.clientId === undefined) return;
    const previous = this.#byId.get(connection.clientId);
    this.#byId.set(connection.clientId, connection);
    if (previous && previous !== connection) {
      previous.superseded = true;
      previous.destroy();
    }
    done(null, true);
  }

  #authorizePublish(client: Client | null, packet: PublishPacket, done: (error?: Error) => void): void {
    if (!client) return;
    const connection = connectionOf<C>(client);
    if ((packet as object) === connection.will) {
      if (connection.superseded || this.#stopping) done(new PacketRefusedError('The will is of no more use'));
      else this.#options.rules.publish(connection, packet, true, done);
      return;
    }
    // Neither committed nor acknowledged: the client sends it again, where it still may.
    if (connection.closing) return;
    this.#options.rules.publish(connection, packet, false, done);
  }

  #refuseSubscription(connection: C, filter: string): Error | null {
    const { rules } = this.#options;
    let reason: string | undefined;
    if (connection.closing) return new PacketRefusedError('The connection is being closed');
    if (!rules.maySubscribe(connection, filter)) reason = 'subscribe';
    else if (connection.subscriptions >= MAX_FILTERS && !connection.hasSubscribed(filter)) reason = 'subscriptions';
    else if (connection.congested) reason = 'stalled';
    if (reason === undefined) return null;
    rules.refused(reason, connection, filter);
    return new PacketRefusedError(`May not subscribe to ${filter}`);
  }

  #failed(client: Client, error: Error): void {
    const connection = connectionOf<C>(client);
    connection.closing = true;
    // Everything that waited for the connection fails with it; the first failure says why.
    if (connection.failed) return;
    connection.failed = true;
    if (error instanceof PacketRefusedError || error instanceof NotCommittedError) return;
    const reason = REASONS[error.message] ?? ('code' in error ? undefined : 'protocol');
    if (reason !== undefined) this.#options.rules.refused(reason, connection, error.message);
  }
}

/** aedes' own errors are told apart by their text only. */
const REASONS: Record<string, string> = {
  'keep alive timeout': 'keepalive',
  'keep alive limit exceeded': 'keepalive-limit',
  'connect did not arrive in time': 'connect-timeout',
  'drain timeout': 'stalled',
  'unacceptable protocol version': 'protocol-version',
};

const refusals = new WeakMap<MqttConnection, Refusal>();

/** aedes carries what it was given with the socket as `req`. */
function connectionOf<C extends MqttConnection>(client: Client): C {
  return client.req as unknown as C;
}

/** Distributes nothing: neither what clients publish nor aedes' own news about itself. */
class QuietAedes extends Aedes {
  override publish(_packet: PublishPacket, ...rest: unknown[]): void {
    const done = rest.at(-1);
    if (typeof done === 'function') done(null);
  }
}

/** Takes the place of aedes' internal bus, on which nothing travels. */
const silentEmitter = {
  concurrency: 0,
  on: (_topic: string, _listener: unknown, done?: () => void) => void done?.(),
  removeListener: (_topic: string, _listener: unknown, done?: () => void) => void done?.(),
  emit: (_packet: unknown, done?: () => void) => void done?.(),
  close: (done?: () => void) => void done?.(),
};
