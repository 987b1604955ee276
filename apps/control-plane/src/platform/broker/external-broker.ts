import { DEVICE_ROOT, MAX_DEVICE_PACKET_BYTES, deviceTopics, encodeJson, parseDeviceTopic } from '@drover/contracts';
import { OperationError, messageOf, newId } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import mqtt from 'mqtt';
import type { IClientOptions, IPublishPacket, MqttClient } from 'mqtt';
import type { Metrics } from '../metrics.ts';
import type { Readiness } from '../readiness.ts';
import { BrokerMetrics } from './broker-metrics.ts';
import { CommitConfirmations, deliveryOf } from './commit-confirmations.ts';
import type { TopicFromDevice } from './device-connection.ts';
import type { DeviceGateway, DevicePublisher } from './device-gateway.ts';
import type { DeviceStanding } from './device-standing.ts';
import { TopicNotServersError } from './embedded-broker.ts';

/** The broker of MQTT_URL cannot be reached, or refuses us. */
export class BrokerUnreachableError extends OperationError {}
/** More waits for the broker than may be kept. */
export class BrokerCongestedError extends OperationError {}

export interface ExternalBrokerOptions {
  /** With credentials, where the broker wants some. */
  readonly url: string;
  /** PEM: the broker's authority, and what the gateway shows of itself. */
  readonly tls?: Pick<IClientOptions, 'ca' | 'cert' | 'key'>;
  readonly gateway: DeviceGateway;
  readonly standing: DeviceStanding;
  readonly readiness: Readiness;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** False for a broker without shared subscriptions: then there can be one gateway only. */
  readonly shared?: boolean;
  readonly connectTimeoutMs?: number;
}

/** What devices say. Gateways share it: the broker gives each message to one of them. */
const FILTERS = ['status', 'm/+', 'e/+', 'twin/reported', 'get/+', 'cmd/+/+/status'].map(
  (rest) => `${DEVICE_ROOT}/+/+/${rest}`,
);
const SHARE = '$share/drover/';
/** Messages being committed at once; the broker keeps what comes beyond that. */
const MAX_IN_FLIGHT = 5_000;
/** Publications that the broker has not acknowledged. */
const MAX_OUTGOING = 10_000;
/** How long confirmations are collected for. */
const CONFIRM_EVERY_MS = 20;
const METRICS_EVERY_MS = 1_000;
const REFUSED = Buffer.alloc(0);

/**
 * A gateway beside a broker of its own (`MQTT_URL`): any MQTT 3.1.1 broker with shared subscriptions.
 *
 * INVARIANTS
 * - The broker's PUBACK to a device is worth nothing here (a broker can lose what it has acknowledged): each message is confirmed on
 *   `…/ack` once it is committed, and a device keeps what is not confirmed.
 * - The broker authenticates devices and keeps each to its own topics; the gateway takes messages of devices only that are active and
 *   have a certificate that was not revoked.
 */
export class ExternalBroker implements DevicePublisher {
  readonly acknowledgement = 'ack';
  readonly #options: ExternalBrokerOptions;
  readonly #logger: Logger;
  readonly #metrics: BrokerMetrics;
  readonly #confirmations = new CommitConfirmations();
  readonly #held: (() => void)[] = [];
  #client: MqttClient | undefined;
  #confirmTimer: NodeJS.Timeout | undefined;
  #metricsTimer: NodeJS.Timeout | undefined;
  #inFlight = 0;
  #outgoing = 0;

  constructor(options: ExternalBrokerOptions) {
    this.#options = options;
    this.#logger = options.logger.child({ part: 'external-mqtt' });
    this.#metrics = new BrokerMetrics(options.metrics, 'external-mqtt');
  }

  /** Connects; from then on the connection is kept up. @throws BrokerUnreachableError */
  async start(): Promise<void> {
    const { url, tls, readiness, connectTimeoutMs = 10_000, gateway } = this.#options;
    const client = mqtt.connect(url, {
      ...tls,
      protocolVersion: 4,
      clientId: newId('drover-gateway'),
      clean: true,
      keepalive: 30,
      reconnectPeriod: 1_000,
      connectTimeout: connectTimeoutMs,
      resubscribe: false,
      queueQoSZero: false,
    });
    this.#client = client;
    // The broker may go on sending once this has called back; it holds back where too much is being committed.
    client.handleMessage = (packet, done) => this.#take(packet, done);
    client.on('error', (error) => this.#logger.warn({ err: messageOf(error) }, 'The MQTT broker cannot be used'));
    client.on('close', () => readiness.set('broker', false, 'not connected'));
    await this.#firstConnection(client, connectTimeoutMs);
    gateway.publisher = this;
    this.#metricsTimer = setInterval(() => this.#metrics.flush(client.connected ? 1 : 0), METRICS_EVERY_MS);
  }

  async stop(): Promise<void> {
    if (this.#options.gateway.publisher === this) this.#options.gateway.publisher = undefined;
    clearInterval(this.#metricsTimer);
    clearTimeout(this.#confirmTimer);
    this.#confirm();
    await this.#client?.endAsync().catch(() => undefined);
  }

  /** Whether it is, only the broker knows: there is no harm in trying. */
  isConnected(_device: string): boolean {
    return this.#client?.connected ?? false;
  }

  /** @throws BrokerCongestedError */
  async publish(
    topic: string,
    payload: Uint8Array,
    options: { readonly retain?: boolean; readonly qos?: 0 | 1 } = {},
  ): Promise<boolean> {
    if (parseDeviceTopic(topic)?.from !== 'server')
      throw new TopicNotServersError(`The server does not publish on ${topic}`);
    return this.#send(topic, Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength), options);
  }

  async purge(fleet: string, device: string): Promise<void> {
    const { desired, status } = deviceTopics(fleet, device);
    this.#options.standing.forget(fleet, device);
    // Cutting the connection is the broker's, by its own list of revoked certificates; what it keeps is cleared from here.
    await Promise.all([desired, status].map((topic) => this.#send(topic, REFUSED, { qos: 1, retain: true })));
  }

  async #firstConnection(client: MqttClient, timeoutMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    client.on('connect', () => void this.#subscribe(client).then(resolve, reject));
    const onError = (error: Error): void => reject(error);
    client.once('error', onError);
    const timer = setTimeout(() => reject(new BrokerUnreachableError('no answer')), timeoutMs);
    try {
      await promise;
    } catch (error) {
      client.end(true);
      const { host, protocol } = new URL(this.#options.url);
      throw new BrokerUnreachableError(
        `The MQTT broker ${protocol}//${host} (MQTT_URL) cannot be used: ${messageOf(error)}`,
        { cause: error },
      );
    } finally {
      clearTimeout(timer);
      client.off('error', onError);
    }
  }

  async #subscribe(client: MqttClient): Promise<void> {
    const share = this.#options.shared === false ? '' : SHARE;
    const granted = await client.subscribeAsync(
      FILTERS.map((filter) => share + filter),
      { qos: 1 },
    );
    if (granted.some(({ qos }) => (qos as number) > 2)) {
      throw new BrokerUnreachableError('it does not let the gateway subscribe to what devices say');
    }
    this.#options.readiness.set('broker', true);
    this.#logger.info({}, 'Connected to the MQTT broker');
  }

  #take(packet: IPublishPacket, done: (error?: Error) => void): void {
    this.#inFlight += 1;
    if (this.#inFlight < MAX_IN_FLIGHT) done();
    else this.#held.push(done);
    void this.#handle(packet).finally(() => {
      this.#inFlight -= 1;
      this.#held.shift()?.();
    });
  }

  async #handle({ topic, payload }: IPublishPacket): Promise<void> {
    const parsed = parseDeviceTopic(topic);
    const bytes = payload as Buffer;
    if (parsed?.from !== 'device' || bytes.length > MAX_DEVICE_PACKET_BYTES) {
      return this.#metrics.refused(parsed?.from === 'device' ? 'oversized' : 'publish');
    }
    const { fleet, device } = parsed;
    try {
      const { standing, gateway } = this.#options;
      const good = standing.known(fleet, device) ?? (await standing.find(fleet, device));
      if (!good) return this.#metrics.refused('certificate');
      this.#metrics.received(parsed.kind);
      const principal = { fleet, device, certificateSerial: 'external' };
      await gateway.handle({ principal, topic, parsed, payload: bytes, will: false });
    } catch (error) {
      // Not confirmed: the device sends it again.
      this.#metrics.refused('not-committed');
      this.#logger.debug({ device, topic, err: messageOf(error) }, 'A message cannot be committed now');
      return;
    }
    this.#committed(parsed, bytes);
  }

  #committed(parsed: TopicFromDevice, payload: Buffer): void {
    if (parsed.kind === 'status' || parsed.kind === 'get') return;
    const delivery = deliveryOf(payload);
    if (!delivery) return;
    const { ack } = deviceTopics(parsed.fleet, parsed.device);
    this.#confirmations.add(ack, delivery.bootId, delivery.class, delivery.seq);
    this.#confirmTimer ??= setTimeout(() => this.#confirm(), CONFIRM_EVERY_MS);
  }

  #confirm(): void {
    this.#confirmTimer = undefined;
    for (const { topic, ack } of this.#confirmations.take()) {
      this.#send(topic, Buffer.from(encodeJson(ack)), { qos: 1 }).catch((error: unknown) =>
        this.#logger.debug({ topic, err: messageOf(error) }, 'A confirmation could not be sent'),
      );
    }
  }

  async #send(
    topic: string,
    payload: Buffer,
    options: { readonly retain?: boolean; readonly qos?: 0 | 1 },
  ): Promise<boolean> {
    const client = this.#client;
    if (!client?.connected) return false;
    if (this.#outgoing >= MAX_OUTGOING)
      throw new BrokerCongestedError(`${this.#outgoing} publications wait for the broker`);
    this.#outgoing += 1;
    this.#metrics.sent();
    try {
      await client.publishAsync(topic, payload, { qos: options.qos ?? 1, retain: options.retain ?? false });
      return true;
    } finally {
      this.#outgoing -= 1;
    }
  }
}
