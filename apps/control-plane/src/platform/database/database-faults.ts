import { messageOf } from '@drover/runtime';
import { DatabaseError } from 'pg';

/** Whose fault a failed statement is, by its SQLSTATE (PostgreSQL manual, appendix A). */
export type DatabaseFault = 'data' | 'transient' | 'defect';

/** 08 connection, 40 rollback, 53 resources, 55 lock, 57 operator, 58 system. */
const TRANSIENT_CLASSES = new Set(['08', '40', '53', '55', '57', '58']);
/** 22 data exception, 23 integrity constraint. */
const DATA_CLASSES = new Set(['22', '23']);
/** Of a table's constraint it names the constraint; without a name it is a partition's bounds. */
const CHECK_VIOLATION = '23514';
/** Program limit exceeded: the row is too large for an index or a page. */
const PROGRAM_LIMIT = '54';

/**
 * `data`: the same rows will always fail. `transient`: the database is away or busy, the same statement may work soon. `defect`:
 * neither (a missing column, for instance); trying again is all that can be done without losing the message.
 */
export function databaseFaultOf(thrown: unknown): DatabaseFault {
  const code = sqlStateOf(thrown);
  if (code === undefined) return 'transient';
  // The row was on its way to the default partition when that month got its own: the next try finds the right one.
  if (code === CHECK_VIOLATION && thrown instanceof DatabaseError && thrown.constraint === undefined)
    return 'transient';
  const kind = code.slice(0, 2);
  if (DATA_CLASSES.has(kind) || kind === PROGRAM_LIMIT) return 'data';
  return TRANSIENT_CLASSES.has(kind) ? 'transient' : 'defect';
}

/** Five characters with a digit among the first two, or of the classes that have none; not `EPIPE`. */
const SQL_STATE = /^(?=\d|.\d|HV|XX)[0-9A-Z]{5}$/;

/** The five characters, of an error of pg or of Prisma's adapter; undefined where it never came to a statement. */
export function sqlStateOf(thrown: unknown): string | undefined {
  for (const error of causesOf(thrown)) {
    for (const name of ['code', 'originalCode']) {
      const code = (error as Record<string, unknown>)[name];
      if (typeof code === 'string' && SQL_STATE.test(code) && !/^P\d{4}$/.test(code)) return code;
    }
  }
  return undefined;
}

/** What a connection fails with. */
const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
/** Of Prisma: not reachable, timed out, closed, no connection free, no transaction to be had. */
const PRISMA_AWAY = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028']);
/** Of pg, which gives these no code. */
const PG_AWAY =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Cannot use a pool after)/;

/** Whether the database did not answer, or has ended the statement for reasons of its own: the same may work soon. */
export function isDatabaseAway(thrown: unknown): boolean {
  const sqlState = sqlStateOf(thrown);
  if (sqlState !== undefined) return TRANSIENT_CLASSES.has(sqlState.slice(0, 2));
  for (const error of causesOf(thrown)) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    if (typeof code === 'string' && (NETWORK.has(code) || PRISMA_AWAY.has(code))) return true;
    // The socket's file is not there while the server is not.
    if (code === 'ENOENT' && String(message).includes('connect ENOENT')) return true;
    if (typeof message === 'string' && PG_AWAY.test(message)) return true;
  }
  return false;
}

/** Prisma's own names for a constraint that was violated and for a row that is no longer there. */
export function isPrismaConflict(thrown: unknown): boolean {
  return ['P2002', 'P2003', 'P2025'].includes((thrown as { code?: string } | null)?.code ?? '');
}

/** One line for a reject: what PostgreSQL said. */
export function databaseReason(thrown: unknown): string {
  return messageOf(thrown).split('\n').at(-1)!.trim().slice(0, 500);
}

/** An error and those underneath it. */
function* causesOf(thrown: unknown): Generator<object> {
  let error: unknown = thrown;
  for (let depth = 0; depth < 6 && typeof error === 'object' && error !== null; depth++) {
    yield error;
    const { cause, meta, errors } = error as {
      cause?: unknown;
      meta?: { driverAdapterError?: unknown };
      errors?: readonly unknown[];
    };
    // Of several addresses that were tried, the first one's failure stands for all.
    error = cause ?? meta?.driverAdapterError ?? errors?.[0];
  }
}
