import { messageOf, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';

/**
 * Does what rows alone say is to be done, now and then after each pause, until the signal aborts: jobs and events that were lost
 * lose nothing. Waits out a database that is away.
 */
export async function reconcileEvery(
  pauseMs: number,
  reconcile: () => Promise<void>,
  { what, signal, logger }: { readonly what: string; readonly signal: AbortSignal; readonly logger: Logger },
): Promise<void> {
  while (!signal.aborted) {
    try {
      await reconcile();
    } catch (error) {
      logger.warn({ err: messageOf(error) }, `${what} could not be reconciled; trying again`);
    }
    await sleep(pauseMs, signal).catch(() => undefined);
  }
}
