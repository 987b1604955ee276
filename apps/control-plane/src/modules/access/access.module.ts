import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AccessController } from './access.controller.ts';
import { AccessGuard } from './access.guard.ts';
import { ApiKeyRepository } from './api-key.repository.ts';
import { ApiKeyService } from './api-key.service.ts';
import { AuditRepository } from './audit.repository.ts';
import { EventUpkeep } from './event-upkeep.service.ts';
import { EventStreamController } from './event-stream.controller.ts';
import { FleetRepository } from './fleet.repository.ts';
import { FleetService } from './fleet.service.ts';

@Module({
  controllers: [AccessController, EventStreamController],
  providers: [
    ApiKeyRepository,
    ApiKeyService,
    AuditRepository,
    FleetRepository,
    FleetService,
    AccessGuard,
    EventUpkeep,
    { provide: APP_GUARD, useExisting: AccessGuard },
  ],
  exports: [ApiKeyService, FleetService, AccessGuard],
})
export class AccessModule {}
