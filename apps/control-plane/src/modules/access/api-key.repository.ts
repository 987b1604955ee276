import type { ApiKey, PageQuery, Role } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../platform/http/page.ts';

export interface ApiKeyRow {
  readonly id: string;
  readonly fleetId: string | null;
  readonly name: string;
  readonly role: string;
  readonly prefix: string;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly lastUsedAt: Date | null;
  readonly revokedAt: Date | null;
}

export interface NewApiKey {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly prefix: string;
  readonly hash: Uint8Array<ArrayBuffer>;
  readonly expiresAt: Date | null;
}

@Injectable()
export class ApiKeyRepository {
  constructor(private readonly database: Database) {}

  async findByHash(hash: Uint8Array<ArrayBuffer>): Promise<ApiKeyRow | null> {
    return this.database.prisma.apiKey.findUnique({ where: { hash } });
  }

  async create(tx: Transaction, fleet: string | null, key: NewApiKey): Promise<ApiKeyRow> {
    return tx.apiKey.create({ data: { ...key, fleetId: fleet } });
  }

  /** @param instance the instance administrator's keys too, which belong to no fleet */
  async list(
    fleet: string,
    instance: boolean,
    page: PageQuery,
  ): Promise<{ items: ApiKeyRow[]; nextCursor: string | null }> {
    const after = readCursor(page.cursor, ['text']);
    const rows = await this.database.prisma.apiKey.findMany({
      where: { ...keysOf(fleet, instance), ...(after ? { id: { lt: after[0] } } : {}) },
      orderBy: { id: 'desc' },
      take: page.limit + 1,
    });
    return pageOfRows(rows, page.limit, (row) => [row.id]);
  }

  /** @returns whether there was such a key that was still valid */
  async revoke(tx: Transaction, fleet: string, instance: boolean, id: string): Promise<boolean> {
    const { count } = await tx.apiKey.updateMany({
      where: { ...keysOf(fleet, instance), id, revokedAt: null },
      data: { revokedAt: new Date() },
    });
    return count > 0;
  }

  async touch(id: string, at: Date): Promise<void> {
    await this.database.prisma.apiKey.updateMany({ where: { id }, data: { lastUsedAt: at } });
  }

  async countInstanceKeys(tx: Transaction): Promise<number> {
    return tx.apiKey.count({ where: { fleetId: null } });
  }
}

function keysOf(fleet: string, instance: boolean) {
  return instance ? { OR: [{ fleetId: fleet }, { fleetId: null }] } : { fleetId: fleet };
}

export function toApiKey(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    name: row.name,
    fleet: row.fleetId,
    role: row.role as Role,
    prefix: row.prefix,
    createdAt: row.createdAt.toISOString(),
    expiresAt: row.expiresAt?.toISOString() ?? null,
    lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    revokedAt: row.revokedAt?.toISOString() ?? null,
  };
}
