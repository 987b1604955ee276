import { isIPv6 } from 'node:net';
import type { FleetEvent } from '@drover/contracts';
import { messageOf, newId } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import type { ConnectPacket } from 'aedes';
import { BrokerMetrics } from '../../../platform/broker/broker-metrics.ts';
import type { DeviceIdentity } from '../../../platform/broker/device-identity.ts';
import {
  BAD_CREDENTIALS,
  IDENTIFIER_REJECTED,
  MqttEngine,
  NOT_AUTHORISED,
  PacketRefusedError,
} from '../../../platform/broker/mqtt-engine.ts';
import type { Refusal } from '../../../platform/broker/mqtt-engine.ts';
import { MqttListener } from '../../../platform/broker/mqtt-listener.ts';
import { SessionlessPersistence } from '../../../platform/broker/sessionless-persistence.ts';
import type { NoticeListener } from '../../../platform/database/listener.ts';
import type { EventReader } from '../../../platform/events/event-reader.ts';
import type { Listeners } from '../../../platform/listeners.ts';
import type { Metrics } from '../../../platform/metrics.ts';
import { EventFollower } from './event-follower.ts';
import { feedTopic, mayReadFeed } from './feed-topics.ts';
import { IntegrationConnection } from './integration-connection.ts';

export interface IntegrationsBrokerOptions {
  readonly host: string;
  readonly port: number;
  /** The host that is shown. */
  readonly publicHost: string;
  readonly identity: DeviceIdentity;
  /** Who an API key belongs to; null where it is worth nothing. */
  readonly authenticate: (secret: string) => Promise<{ readonly id: string; readonly fleet: string | null } | null>;
  readonly reader: EventReader;
  readonly listener: NoticeListener;
  readonly listeners: Listeners;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** How often the keys of open connections are looked at again. */
  readonly recheckEveryMs?: number;
}

/** Subscriptions are all that is sent here. */
const PACKETS = { maxBytes: 32 * 2 ** 10, maxConnectBytes: 4 * 2 ** 10 };
const METRICS_EVERY_MS = 1_000;
const MAX_ID_CHARACTERS = 128;

/**
 * The feed of integrations: MQTT over TLS, an API key as password, read only. Every event is published when its transaction has
 * committed, once, to whoever is connected.
 *
 * INVARIANTS
 * - Whose events a connection gets is decided by its key; a filter can only narrow that.
 * - A client id is worth nothing beyond its own key: nobody can throw out the connection of another key.
 * - A reader that is too slow is cut off. Nothing is kept for it: the API's event stream goes back in time, this one does not.
 */
export class IntegrationsBroker {
  readonly #options: IntegrationsBrokerOptions;
  readonly #logger: Logger;
  readonly #metrics: BrokerMetrics;
  readonly #engine: MqttEngine<IntegrationConnection>;
  readonly #follower: EventFollower;
  #tls: MqttListener | undefined;
  #endRenewal: (() => void) | undefined;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: IntegrationsBrokerOptions) {
    this.#options = options;
    this.#logger = options.logger.child({ part: 'events-mqtt' });
    this.#metrics = new BrokerMetrics(options.metrics, 'events-mqtt');
    this.#follower = new EventFollower(options.reader, options.listener, this.#logger, (events) => {
      for (const event of events) this.#tell(event);
    });
    this.#engine = new MqttEngine({
      rules: {
        admit: (connection, packet) => this.#admit(connection, packet),
        publish: (connection, packet, _will, done) => {
          this.#refused('publish', connection, packet.topic);
          done(new PacketRefusedError('The feed is for reading'));
        },
        maySubscribe: ({ reader }, filter) => reader !== undefined && mayReadFeed(reader.fleet, filter),
        refused: (reason, connection, detail) => this.#refused(reason, connection, detail),
      },
      persistence: new SessionlessPersistence(),
      packets: PACKETS,
      logger: this.#logger,
    });
  }

  /** Listens. @throws PortUnavailableError */
  async start(): Promise<void> {
    const { identity, host, port, publicHost, listeners, recheckEveryMs } = this.#options;
    await this.#engine.start();
    const tls = MqttListener.tls(
      { host, port, setting: 'DROVER_EVENTS_MQTT_PORT', clientCertificates: false },
      identity.material,
      (socket) => {
        socket.on('error', () => undefined);
        this.#engine.attach(new IntegrationConnection(socket));
      },
      () => this.#metrics.refused('tls'),
    );
    this.#tls = tls;
    this.#endRenewal = identity.onMaterialChange((material) => tls.renew(material, false));
    const bound = await tls.start();
    listeners.add('events-mqtt', `mqtts://${isIPv6(publicHost) ? `[${publicHost}]` : publicHost}:${bound}`);
    this.#timers = [
      setInterval(() => this.#metrics.flush(this.#engine.size), METRICS_EVERY_MS),
      setInterval(() => void this.#recheck(), recheckEveryMs ?? 60_000),
    ];
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#endRenewal?.();
    await this.#engine.stop();
    await this.#tls?.stop();
    await this.#follower.ended();
    this.#metrics.flush(0);
  }

  /** Whether the event stream is being followed: only while somebody is connected. */
  get following(): boolean {
    return this.#follower.running;
  }

  async #admit(connection: IntegrationConnection, packet: ConnectPacket): Promise<Refusal | null> {
    const secret = packet.password?.toString('utf8');
    if (secret === undefined) return { returnCode: BAD_CREDENTIALS, reason: 'api-key' };
    const key = await this.#options.authenticate(secret);
    if (!key) return { returnCode: BAD_CREDENTIALS, reason: 'api-key' };
    if (packet.will) return { returnCode: NOT_AUTHORISED, reason: 'will' };
    const { clientId } = packet;
    if (clientId.length > MAX_ID_CHARACTERS || (clientId === '' && !packet.clean)) {
      return { returnCode: IDENTIFIER_REJECTED, reason: 'client-id' };
    }
    packet.clientId = `${key.id}:${clientId === '' ? newId('anonymous') : clientId}`;
    if (connection.closing) return null;
    await this.#follower.acquire();
    void this.#releaseWith(connection);
    connection.reader = { keyId: key.id, fleet: key.fleet, secret };
    this.#metrics.accepted();
    return null;
  }

  async #releaseWith(connection: IntegrationConnection): Promise<void> {
    await connection.closed;
    this.#follower.release();
  }

  #tell(event: FleetEvent): void {
    if (event.type === 'api-key.revoked') this.#cutOff(event.subject);
    const topic = feedTopic(event);
    if (topic === null) return;
    let payload: Buffer | undefined;
    for (const connection of this.#engine.connections) {
      if (!connection.ready || !connection.maySee(event)) continue;
      const qos = connection.grantedQos(topic);
      if (qos === null) continue;
      payload ??= Buffer.from(JSON.stringify(event));
      this.#metrics.sent();
      void this.#send(connection, topic, payload, qos);
    }
  }

  async #send(connection: IntegrationConnection, topic: string, payload: Buffer, qos: 0 | 1): Promise<void> {
    try {
      await connection.send(topic, payload, qos);
    } catch (error) {
      if (connection.closing) return;
      this.#refused('slow', connection, messageOf(error));
      connection.destroy();
    }
  }

  #cutOff(keyId: string): void {
    for (const connection of this.#engine.connections) {
      if (connection.reader?.keyId !== keyId || connection.closing) continue;
      this.#refused('revoked', connection, 'the API key');
      connection.destroy();
    }
  }

  /** Keys also expire, which no event tells. */
  async #recheck(): Promise<void> {
    const secrets = new Map<string, string>();
    for (const { reader } of this.#engine.connections) if (reader) secrets.set(reader.keyId, reader.secret);
    for (const [keyId, secret] of secrets) {
      try {
        if (!(await this.#options.authenticate(secret))) this.#cutOff(keyId);
      } catch (error) {
        this.#logger.debug({ err: messageOf(error) }, 'API keys cannot be checked at the moment');
        return;
      }
    }
  }

  #refused(reason: string, connection: IntegrationConnection, detail: string): void {
    this.#metrics.refused(reason);
    const key = connection.reader?.keyId ?? null;
    this.#logger.debug({ reason, key, detail: detail.slice(0, 256) }, 'A connection was refused or ended');
  }
}
