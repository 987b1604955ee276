import { Module } from '@nestjs/common';
import { DevicesModule } from '../devices/devices.module.ts';
import { RejectsModule } from '../devices/rejects/rejects.module.ts';
import { DeviceRecordRepository } from './ingest/device-record.repository.ts';
import { DeviceRecords } from './ingest/device-records.service.ts';
import { EventIngest } from './ingest/event-ingest.service.ts';
import { IngestIdsRepository } from './ingest/ingest-ids.repository.ts';
import { IngestIds } from './ingest/ingest-ids.service.ts';
import { IngestMetrics } from './ingest/ingest-metrics.ts';
import { IngestRegistry } from './ingest/ingest-registry.ts';
import { IngestHandlers } from './ingest/ingest-handlers.ts';
import { MeasurementIngest } from './ingest/measurement-ingest.service.ts';
import { ReportedIngest } from './ingest/reported-ingest.service.ts';
import { ReportedTwinRepository } from './ingest/reported-twin.repository.ts';
import { SampleRepository } from './ingest/sample.repository.ts';
import { MeasurementReader } from './query/measurement-reader.service.ts';
import { MeasurementRepository } from './query/measurement.repository.ts';
import { MeasurementService } from './query/measurement.service.ts';
import { TelemetryController } from './query/telemetry.controller.ts';
import { PartitionRepository } from './retention/partition.repository.ts';
import { TelemetryUpkeep } from './retention/telemetry-upkeep.service.ts';

@Module({
  imports: [DevicesModule, RejectsModule],
  controllers: [TelemetryController],
  providers: [
    DeviceRecordRepository,
    DeviceRecords,
    EventIngest,
    IngestHandlers,
    IngestIds,
    IngestIdsRepository,
    IngestMetrics,
    IngestRegistry,
    MeasurementIngest,
    MeasurementReader,
    MeasurementRepository,
    MeasurementService,
    PartitionRepository,
    ReportedIngest,
    ReportedTwinRepository,
    SampleRepository,
    TelemetryUpkeep,
  ],
  exports: [IngestRegistry, MeasurementReader],
})
export class TelemetryModule {}
