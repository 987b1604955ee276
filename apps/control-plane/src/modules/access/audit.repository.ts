import type { AuditEntry, api } from '@drover/contracts';
import type { QueryOf } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../platform/http/page.ts';

@Injectable()
export class AuditRepository {
  constructor(private readonly database: Database) {}

  async list(
    fleet: string,
    query: QueryOf<typeof api.audit.list>,
  ): Promise<{ items: AuditEntry[]; nextCursor: string | null }> {
    const after = readCursor(query.cursor, ['serial']);
    const descending = query.sort === '-at';
    const rows = await this.database.prisma.auditEntry.findMany({
      where: {
        fleetId: fleet,
        ...(query.action === undefined ? {} : { action: query.action }),
        ...(query.actor === undefined ? {} : { actor: query.actor }),
        ...(after ? { id: descending ? { lt: after[0] } : { gt: after[0] } } : {}),
      },
      orderBy: { id: descending ? 'desc' : 'asc' },
      take: query.limit + 1,
    });
    const entries = rows.map((row) => ({
      id: row.id.toString(),
      at: row.at.toISOString(),
      fleet: row.fleetId,
      actor: row.actor,
      action: row.action,
      subject: row.subject,
      status: row.status,
      details: row.details as Record<string, unknown>,
    }));
    return pageOfRows(entries, query.limit, (row) => [row.id]);
  }
}
