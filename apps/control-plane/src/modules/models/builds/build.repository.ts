import type { Build, BuildRequest, BuildStatus, QueryOf, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Prisma } from '../../../generated/prisma/client.ts';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../../platform/http/page.ts';

type BuildRow = Prisma.BuildGetPayload<object>;

/** One start of a build by one worker. `holder` is a name that no other run has. */
export interface BuildRun {
  readonly fleet: string;
  readonly id: string;
  readonly holder: string;
}

export interface BuildProgress {
  /** 0 to 1. */
  readonly progress: number;
  readonly phase: string;
  readonly loss: number | null;
}

const UNFINISHED = ['QUEUED', 'RUNNING'] satisfies BuildStatus[];

/**
 * INVARIANT: at most one run holds a build. It writes to the row only while the row names it, so what a run that was lost, cancelled or
 * replaced still does changes nothing. Leases are by the database's clock.
 */
@Injectable()
export class BuildRepository {
  constructor(private readonly database: Database) {}

  async create(
    tx: Transaction,
    fleet: string,
    build: { id: string; release: string; request: BuildRequest; datasets: readonly string[] },
  ): Promise<Build> {
    const { id, release, request, datasets } = build;
    const row = await tx.build.create({
      data: { fleetId: fleet, id, releaseId: release, modelId: request.model, request: request as object },
    });
    await tx.buildDataset.createMany({
      data: datasets.map((dataset) => ({ fleetId: fleet, buildId: id, datasetId: dataset })),
    });
    return toBuild(row);
  }

  /** Keeps datasets from being removed until the transaction ends. @returns whether all of them are READY */
  async holdDatasets(tx: Transaction, fleet: string, ids: readonly string[]): Promise<boolean> {
    const held = await tx.$queryRaw<unknown[]>`
      SELECT 1 FROM datasets WHERE fleet_id = ${fleet} AND id = ANY(${[...ids]}::text[]) AND status = 'READY' FOR KEY SHARE`;
    return held.length === ids.length;
  }

  async find(fleet: string, id: string): Promise<Build | null> {
    const row = await this.database.prisma.build.findUnique({ where: { fleetId_id: { fleetId: fleet, id } } });
    return row && toBuild(row);
  }

  async lock(tx: Transaction, fleet: string, id: string): Promise<Build | null> {
    await tx.$queryRaw`SELECT 1 FROM builds WHERE fleet_id = ${fleet} AND id = ${id} FOR NO KEY UPDATE`;
    const row = await tx.build.findUnique({ where: { fleetId_id: { fleetId: fleet, id } } });
    return row && toBuild(row);
  }

  async list(
    fleet: string,
    query: QueryOf<typeof api.builds.list>,
  ): Promise<{ items: Build[]; nextCursor: string | null }> {
    const after = readCursor(query.cursor, ['instant', 'text']);
    const rows = await this.database.prisma.build.findMany({
      where: {
        fleetId: fleet,
        ...(query.model === undefined ? {} : { modelId: query.model }),
        ...(query.status === undefined ? {} : { status: query.status }),
        ...(after ? { OR: [{ createdAt: { lt: after[0] } }, { createdAt: after[0], id: { lt: after[1] } }] } : {}),
      },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      take: query.limit + 1,
    });
    return pageOfRows(rows.map(toBuild), query.limit, (row) => [row.createdAt, row.id]);
  }

  /**
   * Takes a build that nobody works on, for so long; counts the start.
   *
   * @returns null where it has ended or another run holds it
   */
  async take(tx: Transaction, { fleet, id, holder }: BuildRun, leaseMs: number): Promise<Build | null> {
    const taken = await tx.$executeRaw`
      UPDATE builds SET status = 'RUNNING', attempts = attempts + 1, lease_holder = ${holder},
             lease_until = now() + ${leaseMs} * interval '1 ms', started_at = coalesce(started_at, now()),
             progress = 0, phase = 'starting', loss = NULL
       WHERE fleet_id = ${fleet} AND id = ${id}
         AND (status = 'QUEUED' OR status = 'RUNNING' AND lease_until < now())`;
    if (taken === 0) return null;
    const row = await tx.build.findUniqueOrThrow({ where: { fleetId_id: { fleetId: fleet, id } } });
    return toBuild(row);
  }

  /** Goes on holding it, and writes how far it is. @returns false where it is not this run's any more */
  async renew(run: BuildRun, leaseMs: number, progress: BuildProgress): Promise<boolean> {
    const { rowCount } = await this.database.pool.query(
      `UPDATE builds SET lease_until = now() + $4 * interval '1 ms', progress = $5, phase = $6, loss = $7
        WHERE fleet_id = $1 AND id = $2 AND lease_holder = $3 AND status = 'RUNNING'`,
      [run.fleet, run.id, run.holder, leaseMs, progress.progress, progress.phase, progress.loss],
    );
    return (rowCount ?? 0) > 0;
  }

  /** Gives it up unfinished, for any worker to start over. */
  async release(run: BuildRun): Promise<void> {
    await this.database.prisma.build.updateMany({
      where: { fleetId: run.fleet, id: run.id, leaseHolder: run.holder, status: 'RUNNING' },
      data: { status: 'QUEUED', phase: 'queued', leaseHolder: null, leaseUntil: null },
    });
  }

  /** @param holder null: whoever holds it @returns false where it has ended already, or is not this run's any more */
  async end(
    tx: Transaction,
    fleet: string,
    id: string,
    holder: string | null,
    end:
      | { readonly status: 'SUCCEEDED' | 'CANCELED' }
      | { readonly status: 'FAILED'; readonly code: string; readonly message: string },
  ): Promise<boolean> {
    const { count } = await tx.build.updateMany({
      where: {
        fleetId: fleet,
        id,
        status: { in: UNFINISHED },
        ...(holder === null ? {} : { leaseHolder: holder }),
      },
      data: {
        status: end.status,
        phase: end.status.toLowerCase(),
        ...(end.status === 'SUCCEEDED' ? { progress: 1 } : {}),
        ...(end.status === 'FAILED' ? { errorCode: end.code, errorMessage: end.message } : {}),
        leaseHolder: null,
        leaseUntil: null,
        endedAt: new Date(),
      },
    });
    return count > 0;
  }

  /** Of all fleets: builds that nobody works on. */
  async waiting(): Promise<{ fleet: string; id: string; attempts: number }[]> {
    const { rows } = await this.database.pool.query<{ fleet: string; id: string; attempts: number }>(
      `SELECT fleet_id AS fleet, id, attempts FROM builds
        WHERE status = 'QUEUED' OR status = 'RUNNING' AND lease_until < now() ORDER BY created_at LIMIT 100`,
    );
    return rows;
  }
}

function toBuild(row: BuildRow): Build {
  return {
    id: row.id,
    release: row.releaseId,
    status: row.status as BuildStatus,
    progress: row.progress,
    phase: row.phase,
    loss: row.loss,
    attempts: row.attempts,
    error: row.errorCode === null ? null : { code: row.errorCode, message: row.errorMessage ?? '' },
    request: row.request as BuildRequest,
    createdAt: row.createdAt.toISOString(),
    startedAt: row.startedAt?.toISOString() ?? null,
    endedAt: row.endedAt?.toISOString() ?? null,
  };
}
