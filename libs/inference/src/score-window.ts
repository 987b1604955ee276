import type { ScoreSummary } from './worker-messages.ts';

/** Summary of the scores since it was cleared. */
export class ScoreWindow {
  #count = 0;
  #sum = 0;
  #max = Number.NEGATIVE_INFINITY;
  #last = 0;
  #lastAt = 0;

  add(score: number, timeMs: number): void {
    this.#count += 1;
    this.#sum += score;
    if (score > this.#max) this.#max = score;
    this.#last = score;
    this.#lastAt = timeMs;
  }

  /** Null when there were none. */
  summary(): ScoreSummary | null {
    if (this.#count === 0) return null;
    return {
      count: this.#count,
      mean: this.#sum / this.#count,
      max: this.#max,
      last: this.#last,
      lastAt: this.#lastAt,
    };
  }

  clear(): void {
    this.#count = 0;
    this.#sum = 0;
    this.#max = Number.NEGATIVE_INFINITY;
  }
}
