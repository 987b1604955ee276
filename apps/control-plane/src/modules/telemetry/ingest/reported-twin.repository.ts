import type { ReportedState } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Prisma } from '../../../generated/prisma/client.ts';
import type { Transaction } from '../../../platform/database/database.ts';

/** What is known of a device's twin before a newer report is taken. */
export interface KnownTwin {
  readonly reported: ReportedState | null;
  /** (boots.id, seq) of the report that is stored. */
  readonly boot: number | null;
  readonly seq: bigint | null;
  readonly seenEpoch: number;
  readonly seenVersion: number;
}

export interface NewReport {
  readonly fleet: string;
  readonly device: string;
  readonly boot: number;
  readonly seq: number;
  readonly reported: ReportedState;
}

interface KnownTwinRow extends KnownTwin {
  readonly device: string;
}

const COLUMNS = Prisma.sql`
  SELECT device_id AS device, reported, reported_boot AS boot, reported_seq AS seq,
         seen_epoch AS "seenEpoch", seen_version AS "seenVersion"`;

/** The reported half of twins; the desired half is the module devices'. */
@Injectable()
export class ReportedTwinRepository {
  async find(tx: Transaction, fleet: string, devices: readonly string[]): Promise<Map<string, KnownTwin>> {
    const rows = await tx.$queryRaw<KnownTwinRow[]>`
      ${COLUMNS} FROM twins WHERE fleet_id = ${fleet} AND device_id = ANY(${[...devices]})`;
    return new Map(rows.map((row) => [row.device, row]));
  }

  /** Locks what it reads, in the order of ids so that two batches never wait for each other in a circle. */
  async lock(tx: Transaction, fleet: string, devices: readonly string[]): Promise<Map<string, KnownTwin>> {
    const rows = await tx.$queryRaw<KnownTwinRow[]>`
      ${COLUMNS} FROM twins WHERE fleet_id = ${fleet} AND device_id = ANY(${[...devices]})
       ORDER BY device_id FOR NO KEY UPDATE`;
    return new Map(rows.map((row) => [row.device, row]));
  }

  /** Stores reports, at most one per device. */
  async store(tx: Transaction, fleet: string, reports: readonly NewReport[]): Promise<void> {
    const rows = reports.map(({ device, boot, seq, reported }) => ({
      device,
      boot,
      seq,
      reported,
      epoch: reported.desired.epoch,
      version: reported.desired.version,
    }));
    await tx.$executeRaw`
      UPDATE twins t
         SET reported = r.reported, reported_boot = r.boot, reported_seq = r.seq, reported_at = clock_timestamp(),
             seen_epoch = r.epoch, seen_version = r.version
        FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
          AS r(device text, boot int, seq bigint, reported jsonb, epoch int, version int)
       WHERE t.fleet_id = ${fleet} AND t.device_id = r.device`;
  }
}
