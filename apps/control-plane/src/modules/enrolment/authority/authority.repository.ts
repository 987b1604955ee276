import { Injectable } from '@nestjs/common';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';

export interface AuthorityRow {
  readonly id: string;
  /** PEM. */
  readonly certificate: string;
  readonly secretName: string;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** Held while an authority or a server certificate is made, so that processes that start together make it once. */
const AUTHORITY_LOCK = 0x64726f63;
/** Processes listen here for keys and certificates that another one has made. */
export const KEYS_CHANNEL = 'drover_keys';

/** Authorities belong to the installation, not to a fleet. */
@Injectable()
export class AuthorityRepository {
  constructor(private readonly database: Database) {}

  /** Runs alone among all processes. */
  alone<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    return this.database.transaction(async (tx) => {
      await tx.$executeRaw`SELECT pg_advisory_xact_lock(${AUTHORITY_LOCK})`;
      return work(tx);
    });
  }

  async list(executor: Transaction = this.database.prisma): Promise<AuthorityRow[]> {
    return executor.authority.findMany({ where: { retiredAt: null }, orderBy: { createdAt: 'asc' } });
  }

  async create(tx: Transaction, authority: AuthorityRow): Promise<void> {
    await tx.authority.create({ data: authority, select: { id: true } });
  }

  async hasSecret(name: string): Promise<boolean> {
    return (await this.database.prisma.secret.count({ where: { name } })) > 0;
  }

  async forgetSecret(tx: Transaction, name: string): Promise<void> {
    await tx.secret.deleteMany({ where: { name } });
  }

  /** Wakes all processes when the transaction commits. */
  async announce(tx: Transaction): Promise<void> {
    await tx.$executeRaw`SELECT pg_notify(${KEYS_CHANNEL}, '')`;
  }
}
