import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR } from '@nestjs/core';
import { AccessModule } from './modules/access/access.module.ts';
import { AnomaliesModule } from './modules/anomalies/anomalies.module.ts';
import { DeliveryModule } from './modules/devices/delivery/delivery.module.ts';
import { DevicesModule } from './modules/devices/devices.module.ts';
import { EnrolmentModule } from './modules/enrolment/enrolment.module.ts';
import { IntegrationsModule } from './modules/integrations/integrations.module.ts';
import { ModelsModule } from './modules/models/models.module.ts';
import { RolloutsModule } from './modules/rollouts/rollouts.module.ts';
import { TelemetryModule } from './modules/telemetry/telemetry.module.ts';
import { BrokerModule } from './platform/broker/broker.module.ts';
import { AuditInterceptor } from './platform/http/audit.interceptor.ts';
import { DescriptionController } from './platform/http/description.controller.ts';
import { HealthController } from './platform/http/health.controller.ts';
import { ProblemFilter } from './platform/http/problem.filter.ts';
import { Metrics } from './platform/metrics.ts';
import { LOGGER, PlatformModule } from './platform/platform.module.ts';
import type { StartedPlatform } from './platform/platform.module.ts';

@Module({})
export class AppModule {
  static with(started: StartedPlatform): DynamicModule {
    return {
      module: AppModule,
      // In the order of the architecture: a module imports only modules above it.
      imports: [
        PlatformModule.with(started),
        BrokerModule,
        AccessModule,
        DevicesModule,
        DeliveryModule,
        EnrolmentModule,
        TelemetryModule,
        ModelsModule,
        AnomaliesModule,
        RolloutsModule,
        IntegrationsModule,
      ],
      controllers: [HealthController, DescriptionController],
      providers: [
        {
          provide: APP_FILTER,
          useFactory: (logger: StartedPlatform['logger'], metrics: Metrics) => new ProblemFilter(logger, metrics),
          inject: [LOGGER, Metrics],
        },
        { provide: APP_INTERCEPTOR, useClass: AuditInterceptor },
      ],
    };
  }
}
