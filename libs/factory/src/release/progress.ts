import type { BuildOptions, BuildPhase } from './release-options.ts';

/** Where each phase begins, per cent. */
const STARTS: Record<BuildPhase, number> = { preparing: 0, training: 5, compressing: 50, measuring: 70, done: 100 };
const ENDS: Record<BuildPhase, number> = { preparing: 5, training: 50, compressing: 70, measuring: 100, done: 100 };

export interface ProgressTracker {
  /** @throws the signal's reason when aborted */
  enter(phase: BuildPhase): void;
  /** @param fraction of the current phase that is done @param loss of the last epoch */
  readonly within: (fraction: number, loss?: number) => void;
}

/** Tells of a build's progress. What is told never goes back, whatever the parts report. */
export function trackProgress({ signal, onProgress }: Pick<BuildOptions, 'signal' | 'onProgress'>): ProgressTracker {
  let phase: BuildPhase = 'preparing';
  let highest = 0;
  const within = (fraction: number, loss?: number): void => {
    const share = Math.min(1, Math.max(0, Number.isFinite(fraction) ? fraction : 0));
    highest = Math.max(highest, Math.round(STARTS[phase] + share * (ENDS[phase] - STARTS[phase])));
    onProgress?.({ percent: highest, phase, ...(loss === undefined || !Number.isFinite(loss) ? {} : { loss }) });
    signal?.throwIfAborted();
  };
  return {
    enter: (next) => {
      signal?.throwIfAborted();
      phase = next;
      within(0);
    },
    within,
  };
}
