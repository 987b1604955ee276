import { Module } from '@nestjs/common';
import { DevicesModule } from '../devices/devices.module.ts';
import { TelemetryModule } from '../telemetry/telemetry.module.ts';
import { AnomalyController } from './anomaly.controller.ts';
import { AnomalyRepository } from './anomaly.repository.ts';
import { AnomalyService } from './anomaly.service.ts';

@Module({
  imports: [DevicesModule, TelemetryModule],
  controllers: [AnomalyController],
  providers: [AnomalyRepository, AnomalyService],
})
export class AnomaliesModule {}
