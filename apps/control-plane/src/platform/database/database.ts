import { PrismaPg } from '@prisma/adapter-pg';
import { Injectable } from '@nestjs/common';
import pg from 'pg';
import { PrismaClient } from '../../generated/prisma/client.ts';
import type { Prisma } from '../../generated/prisma/client.ts';
import { auditContext } from '../http/audit-context.ts';
import type { AuditContext } from '../http/audit-context.ts';

/** Prisma inside a transaction. */
export type Transaction = Prisma.TransactionClient;

/** Where Prisma is needed but a transaction need not be. */
export type Executor = Transaction;

/**
 * The one connection to PostgreSQL: Prisma for the model, a plain pool for the statements where every microsecond counts.
 * Only platform and repositories use it.
 */
@Injectable()
export class Database {
  readonly pool: pg.Pool;
  readonly prisma: PrismaClient;

  constructor(
    readonly connectionString: string,
    poolSize: number,
  ) {
    this.pool = new pg.Pool({ connectionString, max: poolSize, application_name: 'drover' });
    // An idle connection that the server closes is not news: the pool makes another.
    this.pool.on('error', () => undefined);
    this.prisma = new PrismaClient({
      adapter: new PrismaPg({ connectionString, max: Math.max(4, poolSize >> 1), application_name: 'drover-prisma' }),
    });
  }

  /** Runs one transaction; an audited request's entry is written with its first. */
  async transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const entry = auditContext.getStore();
    const write = entry !== undefined && !entry.written;
    const result = await this.prisma.$transaction(
      async (tx) => {
        if (write) await tx.auditEntry.create({ data: auditRow(entry) });
        return work(tx);
      },
      { maxWait: 10_000, timeout: 30_000 },
    );
    if (write) entry.written = true;
    return result;
  }

  async writeAudit(entry: AuditContext): Promise<void> {
    await this.prisma.auditEntry.create({ data: auditRow(entry) });
    entry.written = true;
  }

  /** Resolves where the database answers. */
  async ping(): Promise<void> {
    await this.pool.query('SELECT 1');
  }

  async stop(): Promise<void> {
    await this.prisma.$disconnect();
    await this.pool.end();
  }
}

function auditRow(entry: AuditContext): {
  fleetId: string | null;
  actor: string;
  action: string;
  subject: string;
  status: number;
} {
  return {
    fleetId: entry.fleet,
    actor: entry.actor,
    action: entry.action,
    subject: entry.subject,
    status: entry.status,
  };
}
