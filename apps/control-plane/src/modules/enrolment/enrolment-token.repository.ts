import type { PageQuery } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Executor, Transaction } from '../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../platform/http/page.ts';

export interface EnrolmentTokenRow {
  readonly fleetId: string;
  readonly id: string;
  readonly name: string;
  readonly maxUses: number;
  readonly uses: number;
  readonly groupId: string | null;
  readonly deviceId: string | null;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
}

export interface NewEnrolmentToken {
  readonly id: string;
  readonly name: string;
  readonly hash: Uint8Array<ArrayBuffer>;
  readonly maxUses: number;
  readonly groupId: string | null;
  readonly deviceId: string | null;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

@Injectable()
export class EnrolmentTokenRepository {
  constructor(private readonly database: Database) {}

  async create(tx: Transaction, fleet: string, token: NewEnrolmentToken): Promise<EnrolmentTokenRow> {
    return tx.enrolmentToken.create({ data: { ...token, fleetId: fleet }, omit: { hash: true } });
  }

  /** The newest first. */
  async page(fleet: string, page: PageQuery): Promise<{ items: EnrolmentTokenRow[]; nextCursor: string | null }> {
    const after = readCursor(page.cursor, ['text']);
    // Ids begin with the time they were made.
    const rows = await this.database.prisma.enrolmentToken.findMany({
      where: { fleetId: fleet, ...(after && { id: { lt: after[0] } }) },
      orderBy: { id: 'desc' },
      take: page.limit + 1,
      omit: { hash: true },
    });
    return pageOfRows(rows, page.limit, (row) => [row.id]);
  }

  /** By what only a holder knows; the fleet is the token's. */
  async findByHash(
    hash: Uint8Array<ArrayBuffer>,
    executor: Executor = this.database.prisma,
  ): Promise<EnrolmentTokenRow | null> {
    return executor.enrolmentToken.findUnique({ where: { hash }, omit: { hash: true } });
  }

  /** Takes one use, in one statement: of two at once that want the last one, one gets it. @returns whether there was one */
  async use(tx: Transaction, fleet: string, id: string, now: Date): Promise<boolean> {
    const count = await tx.$executeRaw`
      UPDATE enrolment_tokens SET uses = uses + 1
       WHERE fleet_id = ${fleet} AND id = ${id} AND uses < max_uses AND expires_at > ${now} AND revoked_at IS NULL`;
    return count > 0;
  }

  /** @returns whether there was such a token that was not revoked yet */
  async revoke(tx: Transaction, fleet: string, id: string, at: Date): Promise<boolean> {
    const { count } = await tx.enrolmentToken.updateMany({
      where: { fleetId: fleet, id, revokedAt: null },
      data: { revokedAt: at },
    });
    return count > 0;
  }

  /** Those that would enrol hardware under a device's id. */
  async revokeOfDevice(tx: Transaction, fleet: string, device: string, at: Date): Promise<void> {
    await tx.enrolmentToken.updateMany({
      where: { fleetId: fleet, deviceId: device, revokedAt: null },
      data: { revokedAt: at },
    });
  }
}
