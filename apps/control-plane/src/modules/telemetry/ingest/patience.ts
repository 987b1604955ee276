import { Backoff, CallerError, sleep } from '@drover/runtime';
import { databaseFaultOf, isDatabaseAway, sqlStateOf } from '../../../platform/database/database-faults.ts';

export interface Patience {
  /** How long a database that is away is waited for before the device is told to send again. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
  /** Told of every failure that is no refusal. */
  onFailure?(error: unknown): void;
}

/**
 * Repeats what may be repeated until the database answers: dropping the connections of all devices because PostgreSQL restarts
 * would cost more than the restart. Refusals are thrown at once.
 */
export async function patiently<T>(patience: Patience, work: () => Promise<T>): Promise<T> {
  const backoff = new Backoff(50, 1_000);
  const until = performance.now() + patience.patienceMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (isRefusal(error)) throw error;
      patience.onFailure?.(error);
      if (patience.signal.aborted || performance.now() >= until) throw error;
      await sleep(backoff.next(), patience.signal).catch(() => Promise.reject(error));
    }
  }
}

/**
 * Whether it was refused for what it says, by the database or by ourselves: the same again will be refused again. So will what the
 * language or Prisma could not even put into a statement; were that tried again, one such message would hold up everybody's.
 */
export function isRefusal(error: unknown): boolean {
  if (error instanceof CallerError || databaseFaultOf(error) === 'data') return true;
  if (sqlStateOf(error) !== undefined || isDatabaseAway(error)) return false;
  return (
    error instanceof RangeError ||
    error instanceof TypeError ||
    (error instanceof Error && error.name === 'PrismaClientValidationError')
  );
}
