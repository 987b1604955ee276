import { vi } from 'vitest';

/** Waits until the expectation holds, long enough for a machine that is busy with other tests. */
export function eventually<T>(expectation: () => T | Promise<T>, timeout = 10_000): Promise<T> {
  return vi.waitFor(expectation, { timeout, interval: 20 });
}
