import type { DesiredPipeline, Execution, ExecutionReport, ExecutionStatus, QueryOf, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Prisma } from '../../generated/prisma/client.ts';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../platform/http/page.ts';
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

/** An execution that a newer one took the slot from. */
export interface Superseded {
  readonly id: string;
  readonly rollout: string;
  readonly device: string;
  readonly dispatched: boolean;
  /** What it would have put back: it is that, not the unfinished attempt, that a failure of the newer one returns to. */
  readonly previous: DesiredPipeline | null;
}

/** For the news of an execution's end. */
export interface Ended {
  readonly id: string;
  readonly rollout: string;
  readonly device: string;
  readonly message: string;
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
    const after = readCursor(query.cursor, ['instant', 'text']);
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
              OR: [{ [key]: { [beyond]: after[0] } }, { [key]: after[0], id: { [beyond]: after[1] } }],
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
    const rows = await tx.$queryRaw<{ wave: number; status: ExecutionStatus; count: number }[]>`
      SELECT wave, status, count(*)::int AS count FROM executions
       WHERE fleet_id = ${fleet} AND rollout_id = ${rollout} GROUP BY wave, status`;
    const counts = new Map<number, Counts>();
    for (const { wave, status, count } of rows) counts.set(wave, { ...counts.get(wave), [status]: count });
    return counts;
  }

  async countUndispatched(fleet: string, rollout: string, wave: number, tx: Transaction): Promise<number> {
    return tx.execution.count({
      where: { fleetId: fleet, rolloutId: rollout, wave, status: 'QUEUED', dispatchedAt: null },
    });
  }

  /**
   * Locks up to `limit` executions of a wave that are not yet dispatched (`taken`), what other rollouts have unfinished in their slots
   * (`rivals`), and their twins.
   *
   * INVARIANT: rows are locked in one order everywhere: the rollout, then executions by id, then twins by device. So a dispatch
   * and reports of the same devices never wait for each other in a circle.
   */
  async lockUndispatched(
    tx: Transaction,
    fleet: string,
    rollout: string,
    wave: number,
    slot: string,
    limit: number,
  ): Promise<{ taken: Dispatchable[]; rivals: string[] }> {
    const picked = await tx.$queryRaw<{ id: string; device: string }[]>`
      SELECT id, device_id AS device FROM executions
       WHERE fleet_id = ${fleet} AND rollout_id = ${rollout} AND wave = ${wave} AND status = 'QUEUED' AND dispatched_at IS NULL
       ORDER BY device_id LIMIT ${limit}`;
    if (picked.length === 0) return { taken: [], rivals: [] };
    const devices = picked.map((row) => row.device);
    const locked = await tx.$queryRaw<{ id: string; rollout: string }[]>`
      SELECT id, rollout_id AS rollout FROM executions
       WHERE fleet_id = ${fleet} AND slot = ${slot} AND device_id = ANY(${devices}::text[]) AND ${UNFINISHED}
       ORDER BY id FOR UPDATE`;
    const pipeline = slot.slice('pipeline:'.length);
    const taken = await tx.$queryRaw<Dispatchable[]>`
      SELECT e.id, e.device_id AS device, coalesce(d.tier_override, d.tier) AS tier, d.state,
             coalesce((d.profile->>'memoryBytes')::float8, 0) AS "memoryBytes", t.desired->'pipelines'->${pipeline} AS current
        FROM executions e
        JOIN devices d ON d.fleet_id = e.fleet_id AND d.id = e.device_id
        JOIN twins t ON t.fleet_id = e.fleet_id AND t.device_id = e.device_id
       WHERE e.fleet_id = ${fleet} AND e.id = ANY(${picked.map((row) => row.id)}::text[]) AND e.status = 'QUEUED' AND e.dispatched_at IS NULL
       ORDER BY e.device_id FOR UPDATE OF t`;
    return { taken, rivals: locked.filter((row) => row.rollout !== rollout).map((row) => row.id) };
  }

  /**
   * Ends rivals of a dispatch: those that were dispatched, and those that an older rollout has yet to dispatch, for it would put an
   * older intention over a newer one. Call with them locked.
   */
  async supersede(tx: Transaction, fleet: string, rivals: readonly string[], devices: readonly string[], by: string) {
    if (rivals.length === 0) return [];
    return tx.$queryRaw<Superseded[]>`
      UPDATE executions e SET status = 'REMOVED', reason = 'superseded', message = ${`Superseded by rollout ${by}`}, step_deadline = NULL,
             ended_at = now(), version = e.version + 1
        FROM rollouts r, rollouts mine
       WHERE e.fleet_id = ${fleet} AND e.id = ANY(${rivals}::text[]) AND e.device_id = ANY(${devices}::text[])
         AND r.fleet_id = e.fleet_id AND r.id = e.rollout_id AND mine.fleet_id = e.fleet_id AND mine.id = ${by}
         AND (e.dispatched_at IS NOT NULL OR r.created_at < mine.created_at)
       RETURNING e.id, e.rollout_id AS rollout, e.device_id AS device, e.previous, e.dispatched_at IS NOT NULL AS dispatched`;
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
  ): Promise<(Restorable & Ended)[]> {
    if (ids.length === 0) return [];
    return tx.$queryRaw<(Restorable & Ended)[]>`
      UPDATE executions SET status = ${status}, reason = ${reason}, message = ${message}, step_deadline = NULL, ended_at = now(), version = version + 1
       WHERE fleet_id = ${fleet} AND id = ANY(${ids}::text[]) AND ${UNFINISHED}
       RETURNING id, rollout_id AS rollout, device_id AS device, slot, previous, message`;
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
    const deadline = terminal ? null : stepDeadline;
    // One statement: a row that is changed twice in a transaction has its foreign keys checked again, which locks their rows.
    await tx.$executeRaw`
      UPDATE executions
         SET status = ${report.status}, step = ${report.step}, reason = ${report.reason}, message = ${report.message},
             progress = ${report.progress}, sequence = ${report.sequence}, version = version + 1,
             variant = coalesce(${report.variant}, variant), provider = coalesce(${report.provider}, provider),
             variant_digest = CASE WHEN ${report.variant}::text IS NULL THEN variant_digest ELSE ${report.variantDigest} END,
             step_deadline = CASE WHEN ${deadline === undefined} THEN step_deadline ELSE ${deadline ?? null}::timestamptz END,
             step_remaining_ms = CASE WHEN ${deadline === undefined} THEN step_remaining_ms END,
             started_at = coalesce(started_at, now()), ended_at = CASE WHEN ${terminal} THEN now() END
       WHERE fleet_id = ${fleet} AND id = ${id}`;
  }

  /** A device that begins anew (on other hardware) counts its reports from one again. */
  async restartSequence(fleet: string, device: string): Promise<void> {
    await this.database.prisma.execution.updateMany({
      where: { fleetId: fleet, deviceId: device, status: { in: ['QUEUED', 'IN_PROGRESS'] } },
      data: { sequence: 0 },
    });
  }

  /**
   * A device that is away does not work on its step: its timer stops, and goes on with what was left when it is back, so that one
   * that comes and goes (perhaps because of the very update) runs out of time as well. An execution that an online device does not
   * begin has a timer too, unless the device is busy with another slot's.
   */
  async keepTimers(): Promise<void> {
    // What another transaction is at is left for the next time: this way nobody waits for anybody.
    await this.database.pool.query(
      `WITH away AS (
         SELECT e.fleet_id, e.id FROM executions e JOIN devices d ON d.fleet_id = e.fleet_id AND d.id = e.device_id
          WHERE e.step_deadline IS NOT NULL AND e.status IN ('QUEUED', 'IN_PROGRESS') AND NOT d.online
            FOR UPDATE OF e SKIP LOCKED
       )
       UPDATE executions e
          SET step_remaining_ms = greatest(0, extract(epoch FROM e.step_deadline - now()) * 1000)::int, step_deadline = NULL
         FROM away a WHERE e.fleet_id = a.fleet_id AND e.id = a.id`,
    );
    await this.database.pool.query(
      `WITH working AS (
         SELECT e.fleet_id, e.id, coalesce(e.step_remaining_ms, r.step_timeout_seconds * 1000) AS left_ms
           FROM executions e
           JOIN devices d ON d.fleet_id = e.fleet_id AND d.id = e.device_id
           JOIN rollouts r ON r.fleet_id = e.fleet_id AND r.id = e.rollout_id
          WHERE e.status IN ('QUEUED', 'IN_PROGRESS') AND e.dispatched_at IS NOT NULL AND e.step_deadline IS NULL AND d.online
            AND (e.status = 'IN_PROGRESS' OR NOT EXISTS (
                  SELECT FROM executions o WHERE o.fleet_id = e.fleet_id AND o.device_id = e.device_id AND o.status = 'IN_PROGRESS'))
            FOR UPDATE OF e SKIP LOCKED
       )
       UPDATE executions e SET step_deadline = now() + w.left_ms * interval '1 ms', step_remaining_ms = NULL
         FROM working w WHERE e.fleet_id = w.fleet_id AND e.id = w.id`,
    );
  }

  /** Of all fleets: what the sweep has to end. */
  async overdue(limit: number): Promise<{ fleet: string; id: string }[]> {
    const { rows } = await this.database.pool.query<{ fleet: string; id: string }>(
      `SELECT e.fleet_id AS fleet, e.id FROM executions e JOIN devices d ON d.fleet_id = e.fleet_id AND d.id = e.device_id
        WHERE e.step_deadline < now() AND e.status IN ('QUEUED', 'IN_PROGRESS') AND d.online LIMIT $1`,
      [limit],
    );
    return rows;
  }

  /** Ends an execution whose present step's time is over, unless it has got on since it was found. */
  async endOverdue(tx: Transaction, fleet: string, id: string): Promise<(Restorable & Ended) | undefined> {
    const [ended] = await tx.$queryRaw<(Restorable & Ended)[]>`
      UPDATE executions SET status = 'TIMED_OUT', reason = 'step-timeout', step_deadline = NULL, ended_at = now(), version = version + 1,
             message = CASE WHEN step IS NULL THEN 'The device is online but did not begin in the time that its rollout allows.'
                            ELSE 'The step ' || step || ' took longer than its rollout allows.' END
       WHERE fleet_id = ${fleet} AND id = ${id} AND ${UNFINISHED} AND step_deadline < now()
       RETURNING id, rollout_id AS rollout, device_id AS device, slot, previous, message`;
    return ended;
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
