/**
 * Exponential backoff with full jitter: the n-th delay is uniform in [0, min(cap, base·2ⁿ)], so that a fleet that lost
 * its server at one moment does not come back at one moment.
 *
 * Source: M. Brooker, "Exponential Backoff And Jitter", 2015 (the "full jitter" variant, with a floor of base / 2 so that a
 * delay is never zero).
 */
export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #random: () => number;
  #attempt = 0;

  constructor(baseMs: number, capMs: number, random: () => number = Math.random) {
    this.#baseMs = baseMs;
    this.#capMs = capMs;
    this.#random = random;
  }

  /** The next delay in milliseconds; each call counts as one more failure. */
  next(): number {
    const ceiling = Math.min(this.#capMs, this.#baseMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    const floor = this.#baseMs / 2;
    return floor + this.#random() * Math.max(0, ceiling - floor);
  }

  /** After a success. */
  reset(): void {
    this.#attempt = 0;
  }
}
