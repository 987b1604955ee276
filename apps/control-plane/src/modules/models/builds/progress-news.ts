import type { BuildProgress } from './build.repository.ts';

/** Share of a build between two events of its progress. */
const STEP = 0.01;

/**
 * Which progress is worth an event: a new phase, or a further per cent. So a build has some hundred of them, however long it takes.
 */
export class ProgressNews {
  #phase = '';
  #progress = -1;

  isNews({ progress, phase }: BuildProgress): boolean {
    if (phase === this.#phase && Math.abs(progress - this.#progress) < STEP) return false;
    this.#phase = phase;
    this.#progress = progress;
    return true;
  }
}
