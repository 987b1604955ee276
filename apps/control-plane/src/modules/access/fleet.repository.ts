import type { Fleet, PageQuery } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../platform/http/page.ts';

@Injectable()
export class FleetRepository {
  constructor(private readonly database: Database) {}

  async find(fleet: string): Promise<Fleet | null> {
    const row = await this.database.prisma.fleet.findUnique({ where: { id: fleet } });
    return row && { ...row, createdAt: row.createdAt.toISOString() };
  }

  /** All fleets, or the one named. */
  async list(only: string | null, page: PageQuery): Promise<{ items: Fleet[]; nextCursor: string | null }> {
    const after = readCursor(page.cursor, ['text']);
    const rows = await this.database.prisma.fleet.findMany({
      where: { AND: [only === null ? {} : { id: only }, after ? { id: { gt: after[0] } } : {}] },
      orderBy: { id: 'asc' },
      take: page.limit + 1,
    });
    const fleets = rows.map((row) => ({ ...row, createdAt: row.createdAt.toISOString() }));
    return pageOfRows(fleets, page.limit, (row) => [row.id]);
  }

  /** @returns null where the id is taken */
  async create(tx: Transaction, fleet: string, name: string): Promise<Fleet | null> {
    const { count } = await tx.fleet.createMany({ data: [{ id: fleet, name }], skipDuplicates: true });
    if (count === 0) return null;
    const row = await tx.fleet.findUniqueOrThrow({ where: { id: fleet } });
    return { ...row, createdAt: row.createdAt.toISOString() };
  }

  /** The row that says what this installation is; made at the first start. */
  async ensureInstance(tx: Transaction): Promise<void> {
    await tx.instance.createMany({ data: [{ id: 1 }], skipDuplicates: true });
  }
}
