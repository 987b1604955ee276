import type { BuildProgress } from '@drover/factory';

const QUIET_MS = 1_000;

/** Tells of a build on standard error: a line when the phase changes, and at most one a second in between. */
export function progressLines(write: (line: string) => void, now: () => number): (progress: BuildProgress) => void {
  const began = now();
  let phase: string | undefined;
  let lastMs = Number.NEGATIVE_INFINITY;
  return (progress) => {
    const atMs = now();
    if (progress.phase === phase && atMs - lastMs < QUIET_MS) return;
    phase = progress.phase;
    lastMs = atMs;
    const seconds = ((atMs - began) / 1_000).toFixed(1).padStart(6);
    const loss = progress.loss === undefined ? '' : `  loss ${progress.loss.toPrecision(4)}`;
    write(`${seconds} s  ${String(Math.round(progress.percent)).padStart(3)} %  ${phase}${loss}\n`);
  };
}
