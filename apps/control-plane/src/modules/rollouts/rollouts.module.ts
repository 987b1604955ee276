import { Module } from '@nestjs/common';
import { DevicesModule } from '../devices/devices.module.ts';
import { ModelsModule } from '../models/models.module.ts';
import { TelemetryModule } from '../telemetry/telemetry.module.ts';
import { ExecutionReports } from './execution-reports.ts';
import { ExecutionRepository } from './execution.repository.ts';
import { RolloutEngine } from './rollout-engine.ts';
import { RolloutController } from './rollout.controller.ts';
import { RolloutProcessor } from './rollout.processor.ts';
import { RolloutRepository } from './rollout.repository.ts';
import { RolloutService } from './rollout.service.ts';

@Module({
  imports: [DevicesModule, ModelsModule, TelemetryModule],
  controllers: [RolloutController],
  providers: [
    ExecutionReports,
    ExecutionRepository,
    RolloutEngine,
    RolloutProcessor,
    RolloutRepository,
    RolloutService,
  ],
})
export class RolloutsModule {}
