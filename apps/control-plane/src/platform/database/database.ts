import { PrismaPg } from '@prisma/adapter-pg';
import { Injectable } from '@nestjs/common';
import pg from 'pg';
import { PrismaClient } from '../../generated/prisma/client.ts';
import type { Prisma } from '../../generated/prisma/client.ts';
import { auditContext } from '../http/audit-context.ts';
import type { AuditContext } from '../http/audit-context.ts';

/** Prisma inside a transaction. */
export type Transaction = Prisma.TransactionClient;

/** PostgreSQL ended the transaction in favour of another one: nothing of it was done, so it is simply done again. */
const MAX_TRIES = 4;

/** To get a connection, new or free: a database that hangs is told as away instead of gathering who waits for it. */
const CONNECTION_TIMEOUT_MS = 10_000;

const CONFLICTS = new Set(['40P01', '40001']);

/** However it was raised: by pg itself, or by Prisma around a statement of its own or a raw one. */
export function isConflict(error: unknown): boolean {
  const { code, meta } = error as {
    code?: string;
    meta?: { code?: string; driverAdapterError?: { cause?: { originalCode?: string } } };
  };
  return (
    code === 'P2034' ||
    [code, meta?.code, meta?.driverAdapterError?.cause?.originalCode].some((found) => CONFLICTS.has(found ?? ''))
  );
}

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
    const common = { connectionString, connectionTimeoutMillis: CONNECTION_TIMEOUT_MS };
    this.pool = new pg.Pool({ ...common, max: poolSize, application_name: 'drover' });
    // An idle connection that the server closes is not news: the pool makes another.
    this.pool.on('error', () => undefined);
    this.prisma = new PrismaClient({
      adapter: new PrismaPg({ ...common, max: Math.max(4, poolSize >> 1), application_name: 'drover-prisma' }),
    });
  }

  /**
   * Runs one transaction; an audited request's entry is written with its first. `work` may run again after a deadlock, so it
   * does nothing but write to the database.
   */
  async transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const entry = auditContext.getStore();
    const write = entry !== undefined && !entry.written;
    const attempt = (): Promise<T> =>
      this.prisma.$transaction(
        async (tx) => {
          if (write) await tx.auditEntry.create({ data: auditRow(entry) });
          return work(tx);
        },
        { maxWait: 10_000, timeout: 30_000 },
      );
    for (let tries = 1; ; tries += 1) {
      try {
        const result = await attempt();
        if (write) entry.written = true;
        return result;
      } catch (error) {
        if (tries === MAX_TRIES || !isConflict(error)) throw error;
      }
    }
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
