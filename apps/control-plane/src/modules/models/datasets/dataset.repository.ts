import type { Dataset, DatasetReport, QueryOf, RecordingReadOptions, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Prisma } from '../../../generated/prisma/client.ts';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../../platform/http/page.ts';

type DatasetRow = Prisma.DatasetGetPayload<object>;

export interface NewDataset {
  readonly id: string;
  readonly name: string;
  readonly files: Dataset['files'];
  readonly options: RecordingReadOptions;
  readonly capture: string | null;
}

@Injectable()
export class DatasetRepository {
  constructor(private readonly database: Database) {}

  async create(tx: Transaction, fleet: string, { id, name, files, options, capture }: NewDataset): Promise<Dataset> {
    return toDataset(
      await tx.dataset.create({ data: { fleetId: fleet, id, name, files, options, captureId: capture } }),
    );
  }

  async find(fleet: string, id: string): Promise<Dataset | null> {
    const row = await this.database.prisma.dataset.findUnique({ where: { fleetId_id: { fleetId: fleet, id } } });
    return row && toDataset(row);
  }

  /** Those that there are, by id. */
  async findMany(fleet: string, ids: readonly string[]): Promise<Map<string, Dataset>> {
    const rows = await this.database.prisma.dataset.findMany({ where: { fleetId: fleet, id: { in: [...ids] } } });
    return new Map(rows.map((row) => [row.id, toDataset(row)]));
  }

  async list(
    fleet: string,
    query: QueryOf<typeof api.datasets.list>,
  ): Promise<{ items: Dataset[]; nextCursor: string | null }> {
    const after = readCursor(query.cursor, ['instant', 'text']);
    const rows = await this.database.prisma.dataset.findMany({
      where: {
        fleetId: fleet,
        ...(query.status === undefined ? {} : { status: query.status }),
        ...(after ? { OR: [{ createdAt: { lt: after[0] } }, { createdAt: after[0], id: { lt: after[1] } }] } : {}),
      },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      take: query.limit + 1,
    });
    return pageOfRows(rows.map(toDataset), query.limit, (row) => [row.createdAt, row.id]);
  }

  /** Locks the row: no build can begin to use it until the transaction ends. @returns null where there is none */
  async lock(tx: Transaction, fleet: string, id: string): Promise<Dataset | null> {
    await tx.$queryRaw`SELECT 1 FROM datasets WHERE fleet_id = ${fleet} AND id = ${id} FOR UPDATE`;
    const row = await tx.dataset.findUnique({ where: { fleetId_id: { fleetId: fleet, id } } });
    return row && toDataset(row);
  }

  /** Builds that have not ended and use it. */
  async usedBy(tx: Transaction, fleet: string, id: string): Promise<string[]> {
    const rows = await tx.buildDataset.findMany({
      where: { fleetId: fleet, datasetId: id, build: { status: { in: ['QUEUED', 'RUNNING'] } } },
      select: { buildId: true },
    });
    return rows.map((row) => row.buildId);
  }

  async delete(tx: Transaction, fleet: string, id: string): Promise<void> {
    await tx.dataset.delete({ where: { fleetId_id: { fleetId: fleet, id } } });
  }

  /** Counts a start of its validation. @returns the dataset, and how many starts there were; null where there is nothing to do */
  async begin(fleet: string, id: string): Promise<{ dataset: Dataset; attempts: number } | null> {
    const [row] = await this.database.prisma.dataset.updateManyAndReturn({
      where: { fleetId: fleet, id, status: 'VALIDATING' },
      data: { attempts: { increment: 1 } },
    });
    return row ? { dataset: toDataset(row), attempts: row.attempts } : null;
  }

  /** @returns false where it is no longer VALIDATING: another worker was first, or it was removed */
  async ended(
    tx: Transaction,
    fleet: string,
    id: string,
    report: DatasetReport | null,
    error: Dataset['error'],
  ): Promise<boolean> {
    const { count } = await tx.dataset.updateMany({
      where: { fleetId: fleet, id, status: 'VALIDATING' },
      data: {
        status: error === null ? 'READY' : 'INVALID',
        ...(report === null ? {} : { report }),
        errorCode: error?.code ?? null,
        errorMessage: error?.message ?? null,
      },
    });
    return count > 0;
  }

  /** Of all fleets: what the reconciler makes jobs of. */
  async validating(): Promise<{ fleet: string; id: string }[]> {
    const rows = await this.database.prisma.dataset.findMany({
      where: { status: 'VALIDATING' },
      select: { fleetId: true, id: true },
      orderBy: { createdAt: 'asc' },
      take: 100,
    });
    return rows.map((row) => ({ fleet: row.fleetId, id: row.id }));
  }
}

function toDataset(row: DatasetRow): Dataset {
  return {
    id: row.id,
    name: row.name,
    status: row.status as Dataset['status'],
    capture: row.captureId,
    files: row.files as Dataset['files'],
    options: row.options as RecordingReadOptions,
    report: row.report as DatasetReport | null,
    error: row.errorCode === null ? null : { code: row.errorCode, message: row.errorMessage ?? '' },
    createdAt: row.createdAt.toISOString(),
  };
}
