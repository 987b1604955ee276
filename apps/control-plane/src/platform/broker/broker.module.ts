import { readFile } from 'node:fs/promises';
import { InvalidConfigError, messageOf } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { Inject, Injectable, Module } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { Config } from '../../config/config.ts';
import { Database } from '../database/database.ts';
import { Listeners } from '../listeners.ts';
import { Metrics } from '../metrics.ts';
import { LOGGER } from '../platform.module.ts';
import { Readiness } from '../readiness.ts';
import { DevelopmentDevicesRepository } from './development-devices.repository.ts';
import { DeviceGateway } from './device-gateway.ts';
import { DeviceIdentity } from './device-identity.ts';
import { DeviceStanding } from './device-standing.ts';
import { EmbeddedBroker } from './embedded-broker.ts';
import { ExternalBroker } from './external-broker.ts';
import { SoleGateway } from './sole-gateway.ts';

/** Starts the devices' broker, or the way to one, in a process with the role `gateway`, after all modules have registered their handlers. */
@Injectable()
export class BrokerLifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown {
  #stop: () => Promise<void> = async () => undefined;

  constructor(
    private readonly config: Config,
    private readonly database: Database,
    private readonly gateway: DeviceGateway,
    private readonly identity: DeviceIdentity,
    private readonly developmentDevices: DevelopmentDevicesRepository,
    private readonly listeners: Listeners,
    private readonly readiness: Readiness,
    private readonly metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (!this.config.hasRole('gateway')) return;
    const url = this.config.device.MQTT_URL;
    if (url === undefined) await this.#startEmbedded();
    else await this.#startExternal(url);
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#stop();
  }

  async #startEmbedded(): Promise<void> {
    const { device } = this.config;
    const sole = new SoleGateway(this.database.connectionString, this.logger);
    this.#stop = () => sole.release();
    await sole.acquire();
    const broker = new EmbeddedBroker({
      host: device.DROVER_DEVICE_HOST,
      port: device.DROVER_MQTT_PORT,
      publicHost: device.DROVER_PUBLIC_HOSTS[0]!,
      developmentPort: device.DROVER_DEV_MQTT_PORT,
      gateway: this.gateway,
      identity: this.identity,
      findDevelopmentDevice: (username) => this.developmentDevices.find(username),
      listeners: this.listeners,
      metrics: this.metrics,
      logger: this.logger,
    });
    this.#stop = async () => {
      await broker.stop();
      await sole.release();
    };
    await broker.start();
  }

  async #startExternal(url: string): Promise<void> {
    const { MQTT_CA_FILE, MQTT_CERT_FILE, MQTT_KEY_FILE } = this.config.device;
    const [ca, cert, key] = await Promise.all([
      pem('MQTT_CA_FILE', MQTT_CA_FILE),
      pem('MQTT_CERT_FILE', MQTT_CERT_FILE),
      pem('MQTT_KEY_FILE', MQTT_KEY_FILE),
    ]);
    const broker = new ExternalBroker({
      url,
      tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) },
      gateway: this.gateway,
      standing: new DeviceStanding(this.database),
      readiness: this.readiness,
      metrics: this.metrics,
      logger: this.logger,
    });
    this.#stop = () => broker.stop();
    await broker.start();
  }
}

async function pem(setting: string, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const message = `${setting}: ${path} cannot be read: ${messageOf(error)}`;
    throw new InvalidConfigError(message, { cause: error, problems: [{ path: setting, message }] });
  }
}

@Module({ providers: [BrokerLifecycle, DevelopmentDevicesRepository] })
export class BrokerModule {}
