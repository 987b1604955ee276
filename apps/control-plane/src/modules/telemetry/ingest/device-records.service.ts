import { benchmarkMessageSchema, logMessageSchema } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import type { OnModuleInit } from '@nestjs/common';
import { DeviceRecordRepository } from './device-record.repository.ts';
import { IngestRegistry } from './ingest-registry.ts';

/** Writes the events that are this module's own: benchmarks and log lines. */
@Injectable()
export class DeviceRecords implements OnModuleInit {
  constructor(
    private readonly registry: IngestRegistry,
    private readonly records: DeviceRecordRepository,
  ) {}

  onModuleInit(): void {
    this.registry.register('benchmark', {
      schema: benchmarkMessageSchema,
      write: async (tx, items) => {
        await this.records.addBenchmarks(tx, items);
        return [];
      },
    });
    this.registry.register('log', {
      schema: logMessageSchema,
      write: async (tx, items) => {
        await this.records.addLogs(tx, items);
        return [];
      },
    });
  }
}
