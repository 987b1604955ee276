import { OperationError, sleep } from '@drover/runtime';

/** Something of the demo took too long or ended badly. */
export class DemoFailedError extends OperationError {}

/** Asks until there is an answer. @throws DemoFailedError after some minutes without one */
export type Until = <T>(what: string, ask: () => Promise<T | undefined>) => Promise<T>;

const POLL_MS = 300;
const WAIT_MS = 240_000;

export function untilAborted(signal: AbortSignal): Until {
  return async (what, ask) => {
    const deadline = performance.now() + WAIT_MS;
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (performance.now() > deadline) throw new DemoFailedError(`Waited ${WAIT_MS / 1000} s for ${what}, in vain.`);
      await sleep(POLL_MS, signal);
    }
  };
}
