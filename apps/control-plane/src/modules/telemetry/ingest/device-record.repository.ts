import type { BenchmarkMessage, LogMessage } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import type { Transaction } from '../../../platform/database/database.ts';
import type { IngestItem } from './ingest-registry.ts';

/** Benchmarks and log lines of devices: stored once by (boot, seq), never changed. */
@Injectable()
export class DeviceRecordRepository {
  async addBenchmarks(tx: Transaction, items: readonly IngestItem<BenchmarkMessage>[]): Promise<void> {
    await tx.benchmark.createMany({
      data: items.map(({ fleet, device, boot, message: { seq, benchmark } }) => {
        const { release, at, temperature, ...rest } = benchmark;
        return {
          bootId: boot,
          seq,
          fleetId: fleet,
          deviceId: device,
          releaseId: release,
          at: new Date(at),
          beforeC: temperature?.beforeC ?? null,
          afterC: temperature?.afterC ?? null,
          ...rest,
        };
      }),
      skipDuplicates: true,
    });
  }

  async addLogs(tx: Transaction, items: readonly IngestItem<LogMessage>[]): Promise<void> {
    await tx.deviceLog.createMany({
      data: items.map(({ fleet, device, boot, message: { seq, log } }) => ({
        bootId: boot,
        seq,
        fleetId: fleet,
        deviceId: device,
        at: new Date(log.at),
        level: log.level,
        code: log.code,
        message: log.message,
        fields: (log.fields ?? {}) as object,
      })),
      skipDuplicates: true,
    });
  }
}
