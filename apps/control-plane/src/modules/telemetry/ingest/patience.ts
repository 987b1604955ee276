import { Backoff, sleep } from '@drover/runtime';
import { databaseFaultOf } from './database-faults.ts';

export interface Patience {
  /** How long a database that is away is waited for before the device is told to send again. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
  /** Told of every failure but those by data. */
  onFailure?(error: unknown): void;
}

/**
 * Repeats what may be repeated until the database answers: dropping the connections of all devices because PostgreSQL restarts
 * would cost more than the restart. Errors by data are thrown at once.
 */
export async function patiently<T>(patience: Patience, work: () => Promise<T>): Promise<T> {
  const backoff = new Backoff(50, 1_000);
  const until = performance.now() + patience.patienceMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (databaseFaultOf(error) === 'data') throw error;
      patience.onFailure?.(error);
      if (patience.signal.aborted || performance.now() >= until) throw error;
      await sleep(backoff.next(), patience.signal).catch(() => Promise.reject(error));
    }
  }
}
