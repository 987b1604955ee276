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

/** The five characters, of an error of pg or of Prisma's adapter; undefined where it never came to a statement. */
export function sqlStateOf(thrown: unknown): string | undefined {
  let error: unknown = thrown;
  for (let depth = 0; depth < 5 && typeof error === 'object' && error !== null; depth++) {
    for (const name of ['code', 'originalCode']) {
      const code = (error as Record<string, unknown>)[name];
      if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^P\d{4}$/.test(code)) return code;
    }
    error = causeOf(error);
  }
  return undefined;
}

/** One line for a reject: what PostgreSQL said. */
export function databaseReason(thrown: unknown): string {
  return messageOf(thrown).split('\n').at(-1)!.trim().slice(0, 500);
}

function causeOf(error: object): unknown {
  const { cause, meta } = error as { cause?: unknown; meta?: { driverAdapterError?: unknown } };
  return cause ?? meta?.driverAdapterError;
}
