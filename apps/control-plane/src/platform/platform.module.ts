import type { Logger } from '@drover/runtime';
import { Global, Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { Config } from '../config/config.ts';
import { DeviceGateway } from './broker/device-gateway.ts';
import { DeviceIdentity } from './broker/device-identity.ts';
import { Database } from './database/database.ts';
import { NoticeListener } from './database/listener.ts';
import { EventOutbox } from './events/event-outbox.ts';
import { EventReader } from './events/event-reader.ts';
import { DeviceRoutes } from './http/device-listener.ts';
import { KeyStore } from './keys/key-store.ts';
import { MasterKey } from './keys/master-key.ts';
import { Listeners } from './listeners.ts';
import { Metrics } from './metrics.ts';
import { Queues } from './queue/queues.ts';
import { Readiness } from './readiness.ts';
import { ArtifactStore } from './storage/artifact-store.ts';

/** Injection token of the process's logger. */
export const LOGGER = Symbol('drover:logger');

/** What `main` has started before the modules are made. */
export interface StartedPlatform {
  readonly config: Config;
  readonly logger: Logger;
  readonly database: Database;
  readonly listener: NoticeListener;
  readonly masterKey: MasterKey;
  readonly queues: Queues;
  readonly artifacts: ArtifactStore;
  readonly readiness: Readiness;
}

@Global()
@Module({})
export class PlatformModule {
  static with(started: StartedPlatform): DynamicModule {
    const providers = [
      { provide: Config, useValue: started.config },
      { provide: LOGGER, useValue: started.logger },
      { provide: Database, useValue: started.database },
      { provide: NoticeListener, useValue: started.listener },
      { provide: MasterKey, useValue: started.masterKey },
      { provide: Queues, useValue: started.queues },
      { provide: ArtifactStore, useValue: started.artifacts },
      { provide: Readiness, useValue: started.readiness },
      KeyStore,
      EventOutbox,
      EventReader,
      DeviceGateway,
      DeviceIdentity,
      DeviceRoutes,
      Metrics,
      Listeners,
    ];
    return { module: PlatformModule, providers, exports: providers };
  }
}
