import { inspect } from 'node:util';
import { OperationError, messageOf, sleep } from '@drover/runtime';

/** What was waited for did not come; the message says what, what was seen last, and what else helps. */
export class NotReachedError extends OperationError {}

export interface EventuallyOptions {
  /** Default 30 s. */
  readonly timeoutMs?: number;
  /** Between two looks; default 50 ms. */
  readonly everyMs?: number;
  /** Called when it did not come: the end of a program's log, for instance. */
  readonly alsoShow?: () => string;
}

/**
 * Looks again and again until what it sees is as wanted. Errors of `look` count as "not yet": programs under test are killed on
 * purpose.
 *
 * @throws NotReachedError
 */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  isAsWanted: (seen: T) => boolean,
  options: EventuallyOptions = {},
): Promise<T> {
  const { timeoutMs = 30_000, everyMs = 50 } = options;
  const began = performance.now();
  let last = 'nothing was seen';
  for (;;) {
    try {
      const seen = await look();
      if (isAsWanted(seen)) return seen;
      last = `seen last: ${inspect(seen, { depth: 6, breakLength: 140, maxArrayLength: 30 })}`;
    } catch (error) {
      last = `failed last: ${messageOf(error)}`;
    }
    const elapsedMs = Math.round(performance.now() - began);
    if (elapsedMs >= timeoutMs) {
      const more = options.alsoShow ? `\n${options.alsoShow()}` : '';
      throw new NotReachedError(`Waited ${elapsedMs} ms for: ${what}\n${last}${more}`);
    }
    await sleep(everyMs);
  }
}
