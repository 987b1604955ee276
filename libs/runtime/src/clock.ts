/** Time as it is injected, so that tests decide what time it is. */
export interface Clock {
  /** Milliseconds since the Unix epoch, by the machine's (adjustable) clock. */
  now(): number;
  /** Milliseconds since an arbitrary start, never going backwards. For durations. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. Never keeps a process alive once aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
        // The difference of two clock readings may be a hair under nothing, which Node warns of.
      },
      Math.max(0, ms),
    );
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
