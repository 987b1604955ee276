import { AsyncLocalStorage } from 'node:async_hooks';

/** The mutation a request is making; written in the transaction of its first change (see `Database.transaction`). */
export interface AuditContext {
  readonly fleet: string | null;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly status: number;
  written: boolean;
}

export const auditContext = new AsyncLocalStorage<AuditContext>();
