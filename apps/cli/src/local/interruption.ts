import { OperationError } from '@drover/runtime';

/** Somebody pressed Ctrl-C. */
export class InterruptedError extends OperationError {}

/**
 * Runs something that ends when the process is asked to: Ctrl-C and SIGTERM abort the signal once; a second time ends the
 * process at once, as without a handler.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort(new InterruptedError('Interrupted.'));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    return await work(stop.signal);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}
