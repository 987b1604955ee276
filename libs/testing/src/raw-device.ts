import { deviceTopics } from '@drover/contracts';
import type { HardwareProfile } from '@drover/contracts';
import { enrol } from '@drover/device-protocol';
import type { DeviceIdentity } from '@drover/device-protocol';
import { OperationError, messageOf } from '@drover/runtime';
import { connectAsync } from 'mqtt';
import type { IClientOptions, MqttClient } from 'mqtt';

/** The broker did not let a connection in. */
export class BrokerRefusedError extends OperationError {}

export const SOME_PROFILE: HardwareProfile = {
  board: 'Raspberry Pi 4 Model B Rev 1.5',
  arch: 'arm64',
  cpuModel: 'Cortex-A72',
  cpuCores: 4,
  memoryBytes: 4 * 2 ** 30,
  providers: ['cpu'],
  os: 'Debian GNU/Linux 13',
  agentVersion: '0.1.0',
  runtimeVersion: '1.30.0',
  simulated: true,
};

export interface HeardMessage {
  readonly topic: string;
  readonly payload: Buffer;
}

/** A device without an agent: it holds a real identity and says whatever a test wants it to say. */
export class RawDevice {
  readonly identity: DeviceIdentity;
  readonly topics: ReturnType<typeof deviceTopics>;
  readonly #clients = new Set<MqttClient>();

  constructor(identity: DeviceIdentity) {
    this.identity = identity;
    this.topics = deviceTopics(identity.fleet, identity.device);
  }

  static async enrol(url: string, token: string, pipelines: readonly string[] = ['main']): Promise<RawDevice> {
    return new RawDevice(await enrol({ url, token, profile: SOME_PROFILE, pipelines }));
  }

  get id(): string {
    return this.identity.device;
  }

  /**
   * Connects with its certificate, or as `options` say otherwise. Nothing reconnects.
   *
   * @throws BrokerRefusedError
   */
  async connect(options: IClientOptions = {}): Promise<RawConnection> {
    const { mqtt, certificate, privateKeyPem, authorities, device } = this.identity;
    let client: MqttClient;
    try {
      client = await connectAsync(
        mqtt.urls[0]!,
        {
          protocolVersion: 4,
          clientId: device,
          cert: certificate,
          key: privateKeyPem,
          ca: [...authorities],
          reconnectPeriod: 0,
          connectTimeout: 5_000,
          ...options,
        },
        false,
      );
    } catch (error) {
      throw new BrokerRefusedError(`The broker refused the connection: ${messageOf(error)}`, { cause: error });
    }
    this.#clients.add(client);
    return new RawConnection(client);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client.endAsync(true)));
  }
}

/** One MQTT connection and everything that was heard on it. */
export class RawConnection {
  readonly client: MqttClient;
  readonly heard: HeardMessage[] = [];
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
  #open = true;

  constructor(client: MqttClient) {
    this.client = client;
    client.on('error', () => undefined);
    client.on('message', (topic, payload) => this.heard.push({ topic, payload }));
    this.closed = new Promise((resolve) =>
      client.once('close', () => {
        this.#open = false;
        resolve();
      }),
    );
  }

  get open(): boolean {
    return this.#open;
  }

  /** QoS 1; resolves with the acknowledgement, rejects where the connection ends before it. */
  async publish(topic: string, payload: unknown, options: { readonly retain?: boolean } = {}): Promise<void> {
    const bytes = typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload);
    const lost = this.closed.then(() => {
      throw new BrokerRefusedError('The connection ended before the acknowledgement.');
    });
    await Promise.race([this.client.publishAsync(topic, bytes, { qos: 1, retain: options.retain ?? false }), lost]);
  }

  /** @returns the granted quality of service; 128 is a refusal */
  async subscribe(filter: string): Promise<number> {
    return new Promise((resolve, reject) => {
      void this.closed.then(() => resolve(128));
      this.client.subscribe(filter, { qos: 1 }, (error, _, packet) => {
        const code = packet?.granted[0] as number | undefined;
        if (code !== undefined) resolve(code);
        else if (error) reject(error);
        else resolve(128);
      });
    });
  }

  async end(): Promise<void> {
    await this.client.endAsync(true);
  }
}
