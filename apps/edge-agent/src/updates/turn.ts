/** Lets one at a time: small boards have one disk, one link and few cores, so heavy work is done in turn. */
export class Turn {
  #last: Promise<unknown> = Promise.resolve();

  /** @throws what `work` throws, or the signal's reason if it aborted before the turn came */
  take<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const mine = this.#last.then(() => {
      signal.throwIfAborted();
      return work();
    });
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
