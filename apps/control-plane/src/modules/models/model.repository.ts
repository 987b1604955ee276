import type { Model, PageQuery } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../platform/http/page.ts';

const withLatest = {
  releases: { where: { status: 'READY' }, orderBy: { version: 'desc' }, take: 1, select: { id: true } },
} as const;

interface ModelRow {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly createdAt: Date;
  readonly releases: readonly { readonly id: string }[];
}

@Injectable()
export class ModelRepository {
  constructor(private readonly database: Database) {}

  /** @returns null where the id is taken */
  async create(
    tx: Transaction,
    fleet: string,
    model: { id: string; name: string; description: string },
  ): Promise<Model | null> {
    const { count } = await tx.model.createMany({ data: [{ fleetId: fleet, ...model }], skipDuplicates: true });
    return count === 0
      ? null
      : toModel(
          await tx.model.findUniqueOrThrow({
            where: { fleetId_id: { fleetId: fleet, id: model.id } },
            include: withLatest,
          }),
        );
  }

  async find(fleet: string, id: string): Promise<Model | null> {
    const row = await this.database.prisma.model.findUnique({
      where: { fleetId_id: { fleetId: fleet, id } },
      include: withLatest,
    });
    return row && toModel(row);
  }

  async list(fleet: string, page: PageQuery): Promise<{ items: Model[]; nextCursor: string | null }> {
    const after = readCursor(page.cursor, ['text']);
    const rows = await this.database.prisma.model.findMany({
      where: { fleetId: fleet, ...(after ? { id: { gt: after[0] } } : {}) },
      orderBy: { id: 'asc' },
      take: page.limit + 1,
      include: withLatest,
    });
    return pageOfRows(rows.map(toModel), page.limit, (row) => [row.id]);
  }
}

function toModel(row: ModelRow): Model {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    createdAt: row.createdAt.toISOString(),
    latestRelease: row.releases[0]?.id ?? null,
  };
}
