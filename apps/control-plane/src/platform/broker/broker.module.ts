import type { Logger } from '@drover/runtime';
import { Inject, Injectable, Module } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { Config } from '../../config/config.ts';
import { Listeners } from '../listeners.ts';
import { Metrics } from '../metrics.ts';
import { LOGGER } from '../platform.module.ts';
import { DevelopmentDevicesRepository } from './development-devices.repository.ts';
import { DeviceGateway } from './device-gateway.ts';
import { DeviceIdentity } from './device-identity.ts';
import { EmbeddedBroker } from './embedded-broker.ts';

/** Starts the devices' broker in a process with the role `gateway`, after all modules have registered their handlers. */
@Injectable()
export class BrokerLifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown {
  #broker: EmbeddedBroker | undefined;

  constructor(
    private readonly config: Config,
    private readonly gateway: DeviceGateway,
    private readonly identity: DeviceIdentity,
    private readonly developmentDevices: DevelopmentDevicesRepository,
    private readonly listeners: Listeners,
    private readonly metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (!this.config.hasRole('gateway')) return;
    const { device } = this.config;
    this.#broker = new EmbeddedBroker({
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
    await this.#broker.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.#broker?.stop();
  }
}

@Module({ providers: [BrokerLifecycle, DevelopmentDevicesRepository] })
export class BrokerModule {}
