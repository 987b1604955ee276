import type { Logger } from '@drover/runtime';
import { Inject, Injectable, Module } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { Config } from '../../config/config.ts';
import { DeviceIdentity } from '../../platform/broker/device-identity.ts';
import { NoticeListener } from '../../platform/database/listener.ts';
import { EventReader } from '../../platform/events/event-reader.ts';
import { Listeners } from '../../platform/listeners.ts';
import { Metrics } from '../../platform/metrics.ts';
import { LOGGER } from '../../platform/platform.module.ts';
import { AccessModule } from '../access/access.module.ts';
import { ApiKeyService } from '../access/api-key.service.ts';
import { IntegrationsBroker } from './feed/integrations-broker.ts';

/** Starts the integrations' listener in a process with the role `gateway`. */
@Injectable()
export class IntegrationsLifecycle implements OnApplicationBootstrap, BeforeApplicationShutdown {
  #broker: IntegrationsBroker | undefined;

  constructor(
    private readonly config: Config,
    private readonly identity: DeviceIdentity,
    private readonly keys: ApiKeyService,
    private readonly reader: EventReader,
    private readonly listener: NoticeListener,
    private readonly listeners: Listeners,
    private readonly metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (!this.config.hasRole('gateway')) return;
    const { device } = this.config;
    this.#broker = new IntegrationsBroker({
      host: device.DROVER_DEVICE_HOST,
      port: device.DROVER_EVENTS_MQTT_PORT,
      publicHost: device.DROVER_PUBLIC_HOSTS[0]!,
      identity: this.identity,
      authenticate: (secret) => this.keys.authenticate(secret),
      reader: this.reader,
      listener: this.listener,
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

@Module({ imports: [AccessModule], providers: [IntegrationsLifecycle] })
export class IntegrationsModule {}
