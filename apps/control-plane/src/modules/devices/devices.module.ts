import { Module } from '@nestjs/common';
import { DeviceLifecycle } from './device-lifecycle.service.ts';
import { DeviceOutboxRepository } from './device-outbox.repository.ts';
import { DeviceRegistry } from './device-registry.service.ts';
import { DeviceRepository } from './device.repository.ts';
import { DeviceSelection } from './device-selection.service.ts';
import { DevicesController } from './devices.controller.ts';
import { GroupRepository } from './group.repository.ts';
import { GroupService } from './group.service.ts';
import { TwinRepository } from './twin.repository.ts';
import { TwinService } from './twin.service.ts';

@Module({
  controllers: [DevicesController],
  providers: [
    DeviceLifecycle,
    DeviceOutboxRepository,
    DeviceRegistry,
    DeviceRepository,
    DeviceSelection,
    GroupRepository,
    GroupService,
    TwinRepository,
    TwinService,
  ],
  exports: [DeviceLifecycle, DeviceOutboxRepository, DeviceRegistry, DeviceSelection, GroupService, TwinService],
})
export class DevicesModule {}
