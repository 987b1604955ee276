import type {
  CreateRollout,
  ExecutionStatus,
  QueryOf,
  Rollout,
  RolloutStatus,
  WaveSize,
  WaveStatus,
  api,
} from '@drover/contracts';
import { EXECUTION_STATUSES } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Prisma } from '../../generated/prisma/client.ts';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../platform/http/page.ts';
import type { Counts } from './rollout-plan.ts';

const withWaves = { waves: { orderBy: { index: 'asc' } } } satisfies Prisma.RolloutInclude;
export type RolloutRow = Prisma.RolloutGetPayload<{ include: typeof withWaves }>;

export interface TargetedDevice {
  readonly id: string;
  readonly name: string;
  readonly tier: string;
  readonly memoryBytes: number;
  readonly hasPipeline: boolean;
}

@Injectable()
export class RolloutRepository {
  constructor(private readonly database: Database) {}

  async create(
    tx: Transaction,
    fleet: string,
    id: string,
    input: CreateRollout & { name: string },
    waves: readonly { size: WaveSize; total: number }[],
  ): Promise<void> {
    await tx.rollout.create({
      data: {
        fleetId: fleet,
        id,
        name: input.name,
        subject: input.subject,
        slot: `pipeline:${input.pipeline}`,
        releaseId: input.release,
        target: input.target,
        variant: input.variant ?? null,
        accuracyBudget: input.accuracyBudget ?? null,
        failureThresholdPercent: input.failureThresholdPercent,
        stepTimeoutSeconds: input.stepTimeoutSeconds,
        rollback: input.rollback,
        status: input.paused ? 'PAUSED' : 'RUNNING',
        statusReason: input.paused ? 'created paused' : null,
        total: waves.reduce((sum, wave) => sum + wave.total, 0),
        startedAt: input.paused ? null : new Date(),
      },
    });
    await tx.wave.createMany({
      data: waves.map((wave, index) => ({ fleetId: fleet, rolloutId: id, index, size: wave.size, total: wave.total })),
    });
  }

  /** What has to be known of targeted devices before they are rolled out to, in the order of `ids`. */
  async targeted(tx: Transaction, fleet: string, ids: readonly string[], pipeline: string): Promise<TargetedDevice[]> {
    return tx.$queryRaw<TargetedDevice[]>`
      SELECT d.id, d.name, coalesce(d.tier_override, d.tier) AS tier, coalesce((d.profile->>'memoryBytes')::float8, 0) AS "memoryBytes",
             ${pipeline} = ANY(d.pipelines) AS "hasPipeline"
        FROM unnest(${ids}::text[]) WITH ORDINALITY AS t(id, place) JOIN devices d ON d.fleet_id = ${fleet} AND d.id = t.id
       ORDER BY t.place`;
  }

  async find(fleet: string, id: string, tx: Transaction = this.database.prisma): Promise<RolloutRow | null> {
    return tx.rollout.findUnique({ where: { fleetId_id: { fleetId: fleet, id } }, include: withWaves });
  }

  /**
   * The rollout with its row locked: every decision about it is taken by one at a time. Not against foreign keys: a report that
   * changes an execution twice must not wait for its rollout.
   */
  async lock(tx: Transaction, fleet: string, id: string): Promise<RolloutRow | null> {
    await tx.$queryRaw`SELECT 1 FROM rollouts WHERE fleet_id = ${fleet} AND id = ${id} FOR NO KEY UPDATE`;
    return this.find(fleet, id, tx);
  }

  async list(
    fleet: string,
    query: QueryOf<typeof api.rollouts.list>,
  ): Promise<{ items: RolloutRow[]; nextCursor: string | null }> {
    const descending = query.sort.startsWith('-');
    const beyond = descending ? 'lt' : 'gt';
    const after = readCursor(query.cursor, ['instant', 'text']);
    const rows = await this.database.prisma.rollout.findMany({
      where: {
        fleetId: fleet,
        ...(query.status === undefined ? {} : { status: query.status }),
        ...(query.release === undefined ? {} : { releaseId: query.release }),
        ...(after
          ? {
              OR: [{ createdAt: { [beyond]: after[0] } }, { createdAt: after[0], id: { [beyond]: after[1] } }],
            }
          : {}),
      },
      orderBy: [{ createdAt: descending ? 'desc' : 'asc' }, { id: descending ? 'desc' : 'asc' }],
      take: query.limit + 1,
      include: withWaves,
    });
    return pageOfRows(rows, query.limit, (row) => [row.createdAt.toISOString(), row.id]);
  }

  async setStatus(
    tx: Transaction,
    fleet: string,
    id: string,
    status: RolloutStatus,
    reason: string | null,
  ): Promise<void> {
    const ended = status === 'SUCCEEDED' || status === 'FAILED' || status === 'ABORTED';
    await tx.rollout.update({
      where: { fleetId_id: { fleetId: fleet, id } },
      data: { status, statusReason: reason, version: { increment: 1 }, ...(ended ? { endedAt: new Date() } : {}) },
    });
    if (status === 'RUNNING')
      await tx.rollout.updateMany({ where: { fleetId: fleet, id, startedAt: null }, data: { startedAt: new Date() } });
  }

  async setWaveStatus(
    tx: Transaction,
    fleet: string,
    rollout: string,
    index: number,
    status: WaveStatus,
  ): Promise<void> {
    const now = new Date();
    await tx.wave.update({
      where: { fleetId_rolloutId_index: { fleetId: fleet, rolloutId: rollout, index } },
      data: { status, ...(status === 'RUNNING' ? { startedAt: now } : { endedAt: now }) },
    });
  }

  /** Ends every wave that has not ended: the running one as `status` says; those that never began were aborted. */
  async endOpenWaves(tx: Transaction, fleet: string, rollout: string, status: WaveStatus): Promise<void> {
    const endedAt = new Date();
    const where = { fleetId: fleet, rolloutId: rollout };
    await tx.wave.updateMany({ where: { ...where, status: 'RUNNING' }, data: { status, endedAt } });
    await tx.wave.updateMany({ where: { ...where, status: 'PENDING' }, data: { status: 'ABORTED', endedAt } });
  }

  /** Of all fleets: what the reconciler looks after. */
  async running(): Promise<{ fleet: string; id: string }[]> {
    const rows = await this.database.prisma.rollout.findMany({
      where: { status: 'RUNNING' },
      select: { fleetId: true, id: true },
      take: 1_000,
    });
    return rows.map((row) => ({ fleet: row.fleetId, id: row.id }));
  }
}

const NO_COUNTS = Object.fromEntries(EXECUTION_STATUSES.map((status) => [status, 0])) as Record<
  ExecutionStatus,
  number
>;

export function toRollout(row: RolloutRow, byWave: ReadonlyMap<number, Counts>): Rollout {
  const all = { ...NO_COUNTS };
  for (const counts of byWave.values()) {
    for (const [status, count] of Object.entries(counts) as [ExecutionStatus, number][]) all[status] += count;
  }
  return {
    id: row.id,
    name: row.name,
    subject: 'model',
    slot: row.slot,
    pipeline: row.slot.slice('pipeline:'.length),
    release: row.releaseId,
    target: row.target as Rollout['target'],
    status: row.status as RolloutStatus,
    statusReason: row.statusReason,
    failureThresholdPercent: row.failureThresholdPercent,
    stepTimeoutSeconds: row.stepTimeoutSeconds,
    rollback: row.rollback,
    total: row.total,
    counts: all,
    waves: row.waves.map((wave) => ({
      index: wave.index,
      size: wave.size as WaveSize,
      status: wave.status as WaveStatus,
      total: wave.total,
      counts: { ...NO_COUNTS, ...byWave.get(wave.index) },
      startedAt: wave.startedAt?.toISOString() ?? null,
      endedAt: wave.endedAt?.toISOString() ?? null,
    })),
    createdAt: row.createdAt.toISOString(),
    startedAt: row.startedAt?.toISOString() ?? null,
    endedAt: row.endedAt?.toISOString() ?? null,
  };
}
