import type { DesiredPipeline, ReportedState } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';

/** What `twins.desired` holds: the desired state without format and key set, which are added when it is signed and sent. */
export interface StoredDesired {
  readonly pipelines: Readonly<Record<string, DesiredPipeline>>;
  readonly config: Readonly<Record<string, unknown>>;
}

export interface TwinRow {
  readonly desired: StoredDesired;
  readonly epoch: number;
  readonly version: number;
  readonly updatedAt: Date;
  readonly reported: ReportedState | null;
  readonly reportedAt: Date | null;
  readonly seenEpoch: number;
  readonly seenVersion: number;
}

/** One slot of one device's desired state; `desired` null takes the pipeline's model away. */
export interface PipelineChange {
  readonly device: string;
  readonly pipeline: string;
  readonly desired: DesiredPipeline | null;
  /** The change is meant as a step back. */
  readonly rollback?: boolean;
}

export interface PipelineChanged {
  readonly device: string;
  /** The slot's value before. */
  readonly previous: DesiredPipeline | null;
  readonly epoch: number;
  readonly version: number;
  /** Size of the whole desired document now, as text. */
  readonly bytes: number;
}

const EMPTY: StoredDesired = { pipelines: {}, config: {} };

@Injectable()
export class TwinRepository {
  constructor(private readonly database: Database) {}

  async find(fleet: string, device: string): Promise<TwinRow | null> {
    const row = await this.database.prisma.twin.findUnique({
      where: { fleetId_deviceId: { fleetId: fleet, deviceId: device } },
      omit: { reportedSeq: true },
    });
    return row as unknown as TwinRow | null;
  }

  /**
   * An empty twin for a new device. That of a replaced one keeps its desired state and forgets what the old incarnation said
   * and has seen.
   */
  async create(tx: Transaction, fleet: string, device: string): Promise<void> {
    await tx.$executeRaw`
      INSERT INTO twins (fleet_id, device_id, desired, epoch)
      SELECT ${fleet}, ${device}, ${JSON.stringify(EMPTY)}::jsonb, epoch FROM instance
      ON CONFLICT (fleet_id, device_id) DO UPDATE SET
        reported = NULL, reported_boot = NULL, reported_seq = NULL, reported_at = NULL, seen_epoch = 0, seen_version = 0`;
  }

  /**
   * Changes one slot of each of many devices in one statement: desired state and version, the notice to the gateway, and the
   * event. The epoch follows the instance's, which rises when a database is restored. Rows are locked in the order of ids, so two
   * such statements never wait for each other in a circle; `previous` is read under that lock.
   *
   * @param changes at most one per device
   * @returns in no particular order; a device without a twin is left out
   */
  async change(tx: Transaction, fleet: string, changes: readonly PipelineChange[]): Promise<PipelineChanged[]> {
    const rows = changes.map((change) => ({ ...change, rollback: change.rollback ?? false }));
    return tx.$queryRaw<PipelineChanged[]>`
      WITH change AS (
        SELECT * FROM jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
          AS c(device text, pipeline text, desired jsonb, rollback boolean)
      ), before AS (
        SELECT t.device_id, c.pipeline, c.desired, c.rollback, t.desired -> 'pipelines' -> c.pipeline AS previous
          FROM change c JOIN twins t ON t.fleet_id = ${fleet} AND t.device_id = c.device
         ORDER BY t.device_id FOR UPDATE OF t
      ), changed AS (
        UPDATE twins t
           SET desired = CASE WHEN b.desired IS NULL THEN t.desired #- ARRAY['pipelines', b.pipeline]
                              ELSE jsonb_set(t.desired, ARRAY['pipelines', b.pipeline], b.desired) END,
               epoch = (SELECT epoch FROM instance), version = t.version + 1, rollback = b.rollback,
               updated_at = clock_timestamp()
          FROM before b WHERE t.fleet_id = ${fleet} AND t.device_id = b.device_id
        RETURNING t.device_id, b.pipeline, b.desired, b.previous, t.epoch, t.version,
                  octet_length(t.desired::text) AS bytes
      ), noticed AS (
        INSERT INTO device_outbox (fleet_id, device_id, kind) SELECT ${fleet}, device_id, 'desired' FROM changed
      ), told AS (
        INSERT INTO events (fleet_id, type, subject, data)
        SELECT ${fleet}, 'twin.desired-changed', device_id,
               jsonb_build_object('pipeline', pipeline, 'epoch', epoch, 'version', version,
                 'release', desired -> 'release', 'rollout', desired -> 'rollout', 'execution', desired -> 'execution')
          FROM changed
      )
      SELECT device_id AS device, previous, epoch, version, bytes FROM changed`;
  }

  /** Asks the gateways to sign and send every active device's desired state again. @returns how many */
  async resendAll(tx: Transaction): Promise<number> {
    return tx.$executeRaw`
      INSERT INTO device_outbox (fleet_id, device_id, kind)
      SELECT fleet_id, id, 'desired' FROM devices WHERE state = 'active'`;
  }
}
