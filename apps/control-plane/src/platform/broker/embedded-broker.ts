import { isIPv6 } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { MAX_DEVICE_PACKET_BYTES, deviceTopics, parseDeviceTopic } from '@drover/contracts';
import { InternalError, messageOf, systemClock } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import type { ConnectPacket, PublishPacket } from 'aedes';
import type { Listeners } from '../listeners.ts';
import type { Metrics } from '../metrics.ts';
import { BrokerMetrics } from './broker-metrics.ts';
import { DeviceConnection, publishableBy } from './device-connection.ts';
import type { DeviceGateway, DevicePrincipal, DevicePublisher } from './device-gateway.ts';
import type { DeviceIdentity } from './device-identity.ts';
import {
  IDENTIFIER_REJECTED,
  MqttEngine,
  NOT_AUTHORISED,
  NotCommittedError,
  PacketRefusedError,
} from './mqtt-engine.ts';
import type { Refusal } from './mqtt-engine.ts';
import { MqttListener } from './mqtt-listener.ts';
import { RetainedDocuments } from './retained-documents.ts';
import { SessionlessPersistence } from './sessionless-persistence.ts';

/** The server tries to send on a topic that is none of its own. */
export class TopicNotServersError extends InternalError {}

export interface EmbeddedBrokerOptions {
  readonly host: string;
  readonly port: number;
  /** The host that devices are told. */
  readonly publicHost: string;
  /** Plain MQTT on loopback; absent: none. */
  readonly developmentPort?: number | undefined;
  readonly gateway: DeviceGateway;
  readonly identity: DeviceIdentity;
  readonly findDevelopmentDevice: (username: string | undefined) => Promise<DevicePrincipal | null>;
  readonly listeners: Listeners;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock?: Clock;
  readonly connectTimeoutMs?: number;
  readonly drainTimeoutMs?: number;
  readonly sweepEveryMs?: number;
}

/** A will and some slack; nobody is known yet who sends it. */
const MAX_CONNECT_BYTES = 16 * 2 ** 10;
const MAX_RETAINED_BYTES = 64 * 2 ** 20;
const LOOPBACK = '127.0.0.1';
/** A revocation is remembered for longer than it takes to connect. */
const REMEMBER_PURGE_MS = 120_000;

/**
 * The broker inside the gateway: mutual TLS, each device on its own topics. What a device publishes goes to
 * `DeviceGateway` and is acknowledged when that has committed it; what the server publishes goes straight to the one
 * connection that the topic names.
 *
 * INVARIANTS
 * - Client id, fleet and device come from the certificate; a device can neither be impersonated nor be thrown out by another.
 * - A PUBACK is written only after `DeviceGateway.handle` has resolved.
 * - After `purge` nothing of the device is accepted, nothing is sent to it, and nothing is kept for it.
 */
export class EmbeddedBroker implements DevicePublisher {
  readonly acknowledgement = 'puback';
  readonly #options: EmbeddedBrokerOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: BrokerMetrics;
  readonly #retained = new RetainedDocuments(MAX_RETAINED_BYTES);
  readonly #engine: MqttEngine<DeviceConnection>;
  readonly #purged = new Map<string, number>();
  readonly #listeners: MqttListener[] = [];
  #sweeper: NodeJS.Timeout | undefined;
  #endRenewal: (() => void) | undefined;

  constructor(options: EmbeddedBrokerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger.child({ part: 'device-mqtt' });
    this.#metrics = new BrokerMetrics(options.metrics, 'device-mqtt');
    this.#engine = new MqttEngine({
      rules: {
        admit: (connection, packet) => this.#admit(connection, packet),
        publish: (connection, packet, will, done) => this.#publish(connection, packet, will, done),
        maySubscribe: (connection, filter) => connection.maySubscribe(filter),
        refused: (reason, connection, detail) => this.#refused(reason, connection, detail),
      },
      persistence: new SessionlessPersistence(this.#retained),
      packets: { maxBytes: MAX_DEVICE_PACKET_BYTES, maxConnectBytes: MAX_CONNECT_BYTES },
      logger: this.#logger,
      ...(options.connectTimeoutMs === undefined ? {} : { connectTimeoutMs: options.connectTimeoutMs }),
      ...(options.drainTimeoutMs === undefined ? {} : { drainTimeoutMs: options.drainTimeoutMs }),
    });
  }

  /** Listens. @throws PortUnavailableError */
  async start(): Promise<void> {
    const { identity, host, port, publicHost, developmentPort, gateway, listeners } = this.#options;
    await this.#engine.start();
    const tls = MqttListener.tls(
      { host, port, setting: 'DROVER_MQTT_PORT', clientCertificates: true },
      identity.material,
      (socket) => this.#accept(socket),
      (error) => {
        this.#metrics.refused('tls');
        this.#logger.debug({ err: messageOf(error) }, 'A TLS handshake failed');
      },
    );
    this.#listeners.push(tls);
    this.#endRenewal = identity.onMaterialChange((material) => tls.renew(material, true));
    const boundPort = await tls.start();
    if (developmentPort !== undefined) await this.#startDevelopment(developmentPort);
    listeners.add('device-mqtt', `mqtts://${isIPv6(publicHost) ? `[${publicHost}]` : publicHost}:${boundPort}`);
    gateway.publisher = this;
    this.#sweeper = setInterval(() => this.#sweep(), this.#options.sweepEveryMs ?? 1_000);
  }

  async stop(): Promise<void> {
    if (this.#options.gateway.publisher === this) this.#options.gateway.publisher = undefined;
    clearInterval(this.#sweeper);
    this.#endRenewal?.();
    await this.#engine.stop();
    await Promise.all(this.#listeners.map((listener) => listener.stop()));
    this.#metrics.flush(0);
  }

  isConnected(device: string): boolean {
    return this.#engine.find(device) !== undefined;
  }

  /**
   * Sends to the device that the topic names, where it is connected and has subscribed; otherwise nothing happens, for nothing is queued:
   * whoever sends learns of the next connection by the device's status.
   *
   * @throws ConnectionCongestedError where the device does not read what it was sent before
   */
  async publish(
    topic: string,
    payload: Uint8Array,
    options: { readonly retain?: boolean; readonly qos?: 0 | 1 } = {},
  ): Promise<boolean> {
    const parsed = parseDeviceTopic(topic);
    if (parsed?.from !== 'server') throw new TopicNotServersError(`The server does not publish on ${topic}`);
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
    if (options.retain) this.#retained.set(topic, bytes);
    const connection = this.#engine.find(parsed.device);
    if (connection?.principal?.fleet !== parsed.fleet) return false;
    const granted = connection.grantedQos(topic);
    if (granted === null) return false;
    this.#metrics.sent();
    return connection.send(topic, bytes, granted === 0 ? 0 : (options.qos ?? 1));
  }

  async purge(fleet: string, device: string): Promise<void> {
    this.#purged.set(device, this.#clock.monotonic());
    this.#retained.delete(deviceTopics(fleet, device).desired);
    const connection = this.#engine.findAny(device);
    if (connection?.principal?.fleet !== fleet) return;
    // It may have come back with a new certificate before we got to it.
    if (await this.#isStill(connection)) return;
    this.#refused('revoked', connection, 'purge');
    await connection.end();
  }

  /** Whether a connection's certificate is still worth something. Where that can't be told, it is worth nothing. */
  async #isStill(connection: DeviceConnection): Promise<boolean> {
    try {
      return (await connection.identify(connection.username)) !== null;
    } catch {
      return false;
    }
  }

  #accept(socket: TLSSocket): void {
    const certificate = socket.getPeerX509Certificate();
    if (!certificate || !socket.authorized) {
      socket.destroy();
      return;
    }
    const openedAt = this.#clock.monotonic();
    const identify: DeviceConnection['identify'] = () => this.#options.identity.authenticate(certificate.raw);
    const identified = identify(undefined);
    // Awaited when CONNECT comes; until then a failure is nobody's yet.
    identified.catch(() => undefined);
    const expiresAt = certificate.validToDate.getTime();
    this.#attach(new DeviceConnection(socket, { identify, identified, expiresAt, openedAt }));
  }

  #attach(connection: DeviceConnection): void {
    connection.socket.on('error', () => undefined);
    this.#engine.attach(connection);
  }

  async #admit(connection: DeviceConnection, packet: ConnectPacket): Promise<Refusal | null> {
    connection.username = packet.username;
    const principal = await connection.identity();
    if (!principal) return { returnCode: NOT_AUTHORISED, reason: 'certificate' };
    if (packet.clientId !== principal.device) return { returnCode: IDENTIFIER_REJECTED, reason: 'client-id' };
    // Recognised just before a revocation, perhaps.
    const purgedAt = this.#purged.get(principal.device) ?? -Infinity;
    if (connection.openedAt <= purgedAt && !(await this.#isStill(connection))) {
      return { returnCode: NOT_AUTHORISED, reason: 'revoked' };
    }
    if (packet.will && !mayPublish(publishableBy(principal, packet.will.topic), packet.will.retain ?? false)) {
      return { returnCode: NOT_AUTHORISED, reason: 'will' };
    }
    connection.principal = principal;
    this.#metrics.accepted();
    return null;
  }

  #publish(connection: DeviceConnection, packet: PublishPacket, will: boolean, done: (error?: Error) => void): void {
    const { topic } = packet;
    const parsed = connection.publishable(topic);
    if (!parsed || !mayPublish(parsed, packet.retain)) {
      this.#refused(parsed ? 'retain' : 'publish', connection, topic);
      done(new PacketRefusedError(`May not publish to ${topic.slice(0, 256)}`));
      return;
    }
    this.#metrics.received(parsed.kind);
    let committed: Promise<void>;
    try {
      committed = this.#options.gateway.handle({
        principal: connection.principal!,
        topic,
        parsed,
        payload: packet.payload as Buffer,
        will,
      });
    } catch (error) {
      committed = Promise.reject(error);
    }
    // aedes wants a callback; an `async` function in between would cost every message.
    // oxlint-disable promise/no-callback-in-promise
    committed.then(
      () => done(),
      (error: unknown) => {
        this.#refused('not-committed', connection, messageOf(error));
        done(new NotCommittedError(`A message on ${topic} cannot be committed now`, { cause: error }));
      },
    );
    // oxlint-enable promise/no-callback-in-promise
  }

  #refused(reason: string, connection: DeviceConnection, detail: string): void {
    this.#metrics.refused(reason);
    const device = connection.principal?.device ?? connection.clientId ?? null;
    this.#logger.debug({ reason, device, detail: detail.slice(0, 256) }, 'A connection was refused or ended');
  }

  async #startDevelopment(port: number): Promise<void> {
    const plain = MqttListener.plain({ host: LOOPBACK, port, setting: 'DROVER_DEV_MQTT_PORT' }, (socket) => {
      const identify = this.#options.findDevelopmentDevice;
      const openedAt = this.#clock.monotonic();
      this.#attach(new DeviceConnection(socket, { identify, expiresAt: Infinity, openedAt }));
    });
    this.#listeners.push(plain);
    const bound = await plain.start();
    this.#options.listeners.add('development-mqtt', `mqtt://${LOOPBACK}:${bound}`);
    this.#logger.warn(
      { port: bound },
      'INSECURE: plain MQTT for development is on; whoever can reach this port can act as any device (user name "fleet/device")',
    );
  }

  #sweep(): void {
    const now = this.#clock.now();
    for (const connection of this.#engine.connections) {
      if (connection.expiresAt > now || connection.closing) continue;
      this.#refused('expired', connection, 'the certificate');
      connection.destroy();
    }
    const forget = this.#clock.monotonic() - REMEMBER_PURGE_MS;
    for (const [device, at] of this.#purged) if (at < forget) this.#purged.delete(device);
    this.#metrics.flush(this.#engine.size);
  }
}

/** Only the status may be retained: nobody else's messages are worth keeping in a broker. */
function mayPublish(parsed: { readonly kind: string } | null, retain: boolean): boolean {
  return parsed !== null && (!retain || parsed.kind === 'status');
}
