import type { DesiredPipeline, Execution, ExecutionReport, ExecutionStatus, QueryOf, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Prisma } from '../../generated/prisma/client.ts';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { decodeCursor, pageOfRows } from '../../platform/http/page.ts';
import type { Counts } from './rollout-plan.ts';

export type ExecutionRow = Prisma.ExecutionGetPayload<object>;

/** What is needed to give a device its new desired state. */
export interface Dispatchable {
  readonly id: string;
  readonly device: string;
  readonly tier: string;
  readonly memoryBytes: number;
  readonly state: string;
  /** The slot's present desired state; null where there is none. */
  readonly current: DesiredPipeline | null;
}

/** A terminal execution whose slot gets its previous desired state back. */
export interface Restorable {
  readonly id: string;
  readonly device: string;
  readonly slot: string;
  readonly previous: DesiredPipeline | null;
}

const UNFINISHED = Prisma.sql`status IN ('QUEUED', 'IN_PROGRESS')`;

@Injectable()
export class ExecutionRepository {
  constructor(private readonly database: Database) {}

  /** One row per device, in one statement. */
  async create(
    tx: Transaction,
    fleet: string,
    rollout: string,
    slot: string,
    rows: readonly { id: string; wave: number; device: string }[],
  ): Promise<void> {
    await tx.$executeRaw`
      INSERT INTO executions (fleet_id, id, rollout_id, wave, device_id, slot)
      SELECT ${fleet}, e.id, ${rollout}, e.wave, e.device, ${slot}
        FROM unnest(${rows.map((r) => r.id)}::text[], ${rows.map((r) => r.wave)}::int[], ${rows.map((r) => r.device)}::text[]) AS e(id, wave, device)`;
  }

  async find(fleet: string, id: string): Promise<Execution | null> {
    const row = await this.database.prisma.execution.findUnique({ where: { fleetId_id: { fleetId: fleet, id } } });
    return row && toExecution(row);
  }

  async list(
    fleet: string,
    query: QueryOf<typeof api.executions.list>,
  ): Promise<{ items: Execution[]; nextCursor: string | null }> {
    const descending = query.sort.startsWith('-');
    const key = query.sort.replace('-', '') as 'queuedAt' | 'endedAt';
    const after = decodeCursor(query.cursor, 2);
    const beyond = descending ? 'lt' : 'gt';
    const rows = await this.database.prisma.execution.findMany({
      where: {
        fleetId: fleet,
        ...(query.rollout === undefined ? {} : { rolloutId: query.rollout }),
        ...(query.device === undefined ? {} : { deviceId: query.device }),
        ...(query.status === undefined ? {} : { status: query.status }),
        // Sorted by their end, those that have none are left out: they are a list of their own (`status`).
        ...(key === 'endedAt' ? { endedAt: { not: null } } : {}),
        ...(after
          ? {
              OR: [
                { [key]: { [beyond]: new Date(String(after[0])) } },
                { [key]: new Date(String(after[0])), id: { [beyond]: String(after[1]) } },
              ],
            }
          : {}),
      },
      orderBy: [{ [key]: descending ? 'desc' : 'asc' }, { id: descending ? 'desc' : 'asc' }],
      take: query.limit + 1,
    });
    return pageOfRows(rows.map(toExecution), query.limit, (row) => [row[key], row.id]);
  }

  /** By wave and status, of one rollout. */
  async countsByWave(
    fleet: string,
    rollout: string,
    tx: Transaction = this.database.prisma,
  ): Promise<Map<number, Counts>> {
    const rows = await tx.execution.groupBy({
      by: ['wave', 'status'],
      where: { fleetId: fleet, rolloutId: rollout },
      _count: true,
    });
    const counts = new Map<number, Counts>();
    for (const row of rows) counts.set(row.wave, { ...counts.get(row.wave), [row.status]: row._count });
    return counts;
  }

  async countUndispatched(fleet: string, rollout: string, wave: number, tx: Transaction): Promise<number> {
    return tx.execution.count({
      where: { fleetId: fleet, rolloutId: rollout, wave, status: 'QUEUED', dispatchedAt: null },
    });
  }

  /** Locks up to `limit` executions of a wave that are not yet dispatched, with what is known of their devices. */
  async lockUndispatched(
    tx: Transaction,
    fleet: string,
    rollout: string,
    wave: number,
    pipeline: string,
    limit: number,
  ): Promise<Dispatchable[]> {
    return tx.$queryRaw<Dispatchable[]>`
      SELECT e.id, e.device_id AS device, coalesce(d.tier_override, d.tier) AS tier, d.state,
             coalesce((d.profile->>'memoryBytes')::float8, 0) AS "memoryBytes", t.desired->'pipelines'->${pipeline} AS current
        FROM executions e
        JOIN devices d ON d.fleet_id = e.fleet_id AND d.id = e.device_id
        JOIN twins t ON t.fleet_id = e.fleet_id AND t.device_id = e.device_id
       WHERE e.fleet_id = ${fleet} AND e.rollout_id = ${rollout} AND e.wave = ${wave} AND e.status = 'QUEUED' AND e.dispatched_at IS NULL
       ORDER BY e.device_id LIMIT ${limit} FOR UPDATE OF e, t`;
  }

  /**
   * Ends the unfinished executions of other rollouts in these devices' slots.
   *
   * @returns what each would have put back, by device: it is that, not the unfinished attempt, that a failure returns to
   */
  async supersede(
    tx: Transaction,
    fleet: string,
    slot: string,
    devices: readonly string[],
    by: string,
  ): Promise<Map<string, DesiredPipeline | null>> {
    const rows = await tx.$queryRaw<{ device: string; previous: DesiredPipeline | null }[]>`
      UPDATE executions SET status = 'REMOVED', reason = 'superseded', message = ${`Superseded by rollout ${by}`}, step_deadline = NULL,
             ended_at = now(), version = version + 1
       WHERE fleet_id = ${fleet} AND slot = ${slot} AND device_id = ANY(${devices}::text[]) AND dispatched_at IS NOT NULL AND ${UNFINISHED}
       RETURNING device_id AS device, previous`;
    return new Map(rows.map((row) => [row.device, row.previous]));
  }

  async markDispatched(
    tx: Transaction,
    fleet: string,
    rows: readonly { id: string; previous: DesiredPipeline | null }[],
  ): Promise<void> {
    await tx.$executeRaw`
      UPDATE executions e SET dispatched_at = now(), previous = p.previous, version = version + 1
        FROM unnest(${rows.map((r) => r.id)}::text[], ${rows.map((r) => JSON.stringify(r.previous))}::jsonb[]) AS p(id, previous)
       WHERE e.fleet_id = ${fleet} AND e.id = p.id`;
  }

  /** Ends executions on the server's own decision. Those that are terminal already are left as they are. */
  async end(
    tx: Transaction,
    fleet: string,
    ids: readonly string[],
    status: ExecutionStatus,
    reason: string,
    message: string,
  ): Promise<Restorable[]> {
    return tx.$queryRaw<Restorable[]>`
      UPDATE executions SET status = ${status}, reason = ${reason}, message = ${message}, step_deadline = NULL, ended_at = now(), version = version + 1
       WHERE fleet_id = ${fleet} AND id = ANY(${ids}::text[]) AND ${UNFINISHED}
       RETURNING id, device_id AS device, slot, CASE WHEN dispatched_at IS NULL THEN NULL ELSE previous END AS previous`;
  }

  /** Ids of a rollout's unfinished executions; locked. */
  async lockUnfinished(
    tx: Transaction,
    fleet: string,
    rollout: string,
  ): Promise<{ id: string; dispatched: boolean }[]> {
    return tx.$queryRaw<{ id: string; dispatched: boolean }[]>`
      SELECT id, dispatched_at IS NOT NULL AS dispatched FROM executions
       WHERE fleet_id = ${fleet} AND rollout_id = ${rollout} AND ${UNFINISHED} ORDER BY id FOR UPDATE`;
  }

  /** Locks the executions that a batch of reports is about. */
  async lockReported(
    tx: Transaction,
    fleets: readonly string[],
    ids: readonly string[],
  ): Promise<(ExecutionRow & { stepTimeoutSeconds: number })[]> {
    if (ids.length === 0) return [];
    await tx.$queryRaw`SELECT 1 FROM executions WHERE fleet_id = ANY(${fleets}::text[]) AND id = ANY(${ids}::text[]) ORDER BY id FOR UPDATE`;
    const rows = await tx.execution.findMany({
      where: { fleetId: { in: [...fleets] }, id: { in: [...ids] } },
      include: { rollout: { select: { stepTimeoutSeconds: true } } },
    });
    return rows.map(({ rollout, ...row }) => ({ ...row, stepTimeoutSeconds: rollout.stepTimeoutSeconds }));
  }

  async applyReport(
    tx: Transaction,
    fleet: string,
    id: string,
    report: ExecutionReport,
    stepDeadline: Date | null | undefined,
  ): Promise<void> {
    const terminal = report.status !== 'IN_PROGRESS';
    const now = new Date();
    await tx.execution.update({
      where: { fleetId_id: { fleetId: fleet, id } },
      data: {
        status: report.status,
        step: report.step,
        reason: report.reason,
        message: report.message,
        progress: report.progress,
        sequence: report.sequence,
        version: { increment: 1 },
        ...(report.variant === null ? {} : { variant: report.variant, variantDigest: report.variantDigest }),
        ...(report.provider === null ? {} : { provider: report.provider }),
        ...(stepDeadline === undefined ? {} : { stepDeadline }),
        ...(terminal ? { endedAt: now, stepDeadline: null } : {}),
      },
    });
    await tx.execution.updateMany({ where: { fleetId: fleet, id, startedAt: null }, data: { startedAt: now } });
  }

  /** A device that is away does not work on its step: its timer stops, and starts anew when it is back. */
  async pauseTimersOfOffline(): Promise<void> {
    await this.database.pool.query(
      `UPDATE executions e SET step_deadline = NULL FROM devices d
        WHERE e.step_deadline IS NOT NULL AND d.fleet_id = e.fleet_id AND d.id = e.device_id AND NOT d.online`,
    );
    await this.database.pool.query(
      `UPDATE executions e SET step_deadline = now() + make_interval(secs => r.step_timeout_seconds)
         FROM devices d, rollouts r
        WHERE e.status = 'IN_PROGRESS' AND e.step_deadline IS NULL AND d.fleet_id = e.fleet_id AND d.id = e.device_id AND d.online
          AND r.fleet_id = e.fleet_id AND r.id = e.rollout_id`,
    );
  }

  /** Of all fleets: what the sweep has to end. */
  async overdue(limit: number): Promise<{ fleet: string; id: string; step: string | null }[]> {
    const { rows } = await this.database.pool.query<{ fleet: string; id: string; step: string | null }>(
      `SELECT e.fleet_id AS fleet, e.id, e.step FROM executions e JOIN devices d ON d.fleet_id = e.fleet_id AND d.id = e.device_id
        WHERE e.step_deadline < now() AND e.status = 'IN_PROGRESS' AND d.online LIMIT $1`,
      [limit],
    );
    return rows;
  }

  /** Of all fleets: unfinished executions of devices that are no longer there. */
  async ofRemovedDevices(limit: number): Promise<{ fleet: string; id: string }[]> {
    const { rows } = await this.database.pool.query<{ fleet: string; id: string }>(
      `SELECT e.fleet_id AS fleet, e.id FROM executions e JOIN devices d ON d.fleet_id = e.fleet_id AND d.id = e.device_id
        WHERE e.status IN ('QUEUED', 'IN_PROGRESS') AND d.state = 'decommissioned' LIMIT $1`,
      [limit],
    );
    return rows;
  }
}

function toExecution(row: ExecutionRow): Execution {
  return {
    id: row.id,
    rollout: row.rolloutId,
    wave: row.wave,
    device: row.deviceId,
    slot: row.slot,
    status: row.status as Execution['status'],
    step: row.step as Execution['step'],
    reason: row.reason as Execution['reason'],
    message: row.message,
    progress: row.progress,
    variant: row.variant,
    variantDigest: row.variantDigest,
    provider: row.provider,
    version: row.version,
    queuedAt: row.queuedAt.toISOString(),
    startedAt: row.startedAt?.toISOString() ?? null,
    endedAt: row.endedAt?.toISOString() ?? null,
  };
}
