/**
 * How the main thread wakes the worker. A worker with nothing to do rests in `Atomics.wait`, which a `notify` ends in
 * about half the time that a message takes through both event loops. While it has anything to wait for in its event loop
 * (a request under way), it does not rest, and is told by messages.
 *
 * INVARIANTS
 * - The main thread first makes the work visible (a row in a ring, a request posted and counted), then rings. The worker
 *   first says that it rests, then looks for work, then waits for the very word that ringing changes. So either the worker
 *   sees the work, or ringing finds it resting.
 * - A request is always a message. Ringing only makes the worker turn to its messages.
 */
export type DoorbellMemory = SharedArrayBuffer;

const RESTING = 0;
const REQUESTS = 1;
const BYTES = 8;

export function createDoorbellMemory(): DoorbellMemory {
  return new SharedArrayBuffer(BYTES);
}

/** The main thread's end. */
export class Doorbell {
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(memory: DoorbellMemory) {
    this.#words = new Int32Array(memory);
  }

  /** A request was posted. */
  ringForRequest(): void {
    Atomics.add(this.#words, REQUESTS, 1);
    this.ring();
  }

  /** @returns false when the worker does not rest: it has to be told by a message */
  ring(): boolean {
    if (Atomics.exchange(this.#words, RESTING, 0) === 0) return false;
    Atomics.notify(this.#words, RESTING);
    return true;
  }
}

/** The worker's end. */
export class RestingPlace {
  readonly #words: Int32Array<SharedArrayBuffer>;
  #received = 0;

  constructor(memory: DoorbellMemory) {
    this.#words = new Int32Array(memory);
  }

  /** A request arrived. */
  countRequest(): void {
    this.#received = (this.#received + 1) | 0;
  }

  /**
   * Blocks the thread until it is rung for, at most `forMs`. Returns at once while a posted request has not arrived.
   *
   * @param hasWork asked when ringing would end the rest already
   */
  rest(forMs: number, hasWork: () => boolean): void {
    const words = this.#words;
    Atomics.store(words, RESTING, 1);
    if (Atomics.load(words, REQUESTS) === this.#received && !hasWork()) Atomics.wait(words, RESTING, 1, forMs);
    Atomics.store(words, RESTING, 0);
  }
}
