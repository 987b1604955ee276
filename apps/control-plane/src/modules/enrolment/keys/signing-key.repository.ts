import type { SigningKeyResource } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';

/** Public halves of the signing keys. They belong to the installation, not to a fleet. */
@Injectable()
export class SigningKeyRepository {
  constructor(private readonly database: Database) {}

  /** The oldest first. */
  async list(): Promise<SigningKeyResource[]> {
    const rows = await this.database.prisma.signingKey.findMany({ orderBy: [{ createdAt: 'asc' }, { id: 'asc' }] });
    return rows.map((row) => ({
      id: row.id,
      purpose: row.purpose as SigningKeyResource['purpose'],
      publicKey: row.publicKey,
      createdAt: row.createdAt.toISOString(),
      retiredAt: row.retiredAt?.toISOString() ?? null,
    }));
  }

  async fleets(tx: Transaction): Promise<string[]> {
    return (await tx.fleet.findMany({ select: { id: true } })).map((row) => row.id);
  }
}
