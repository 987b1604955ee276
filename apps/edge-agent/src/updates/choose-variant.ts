import type { ExecutionReason } from '@drover/contracts';
import type { DroppedCandidate } from './update-records.ts';

/** A candidate as it was measured. */
export interface Measured {
  readonly variant: string;
  /** Of a bare run, microseconds. */
  readonly p50Us: number;
}

/** Whether a candidate was taken, and why or why not. */
export interface Verdict {
  readonly variant: string;
  readonly chosen: boolean;
  readonly reason: string;
}

/** A candidate must be this much faster to be taken before one that the server prefers: less is noise. */
const CLEARLY_FASTER = 0.9;

/** The variant to run: the server's preference, unless another is clearly faster on this device. @param measured by preference */
export function fastest<T extends Measured>(measured: readonly T[]): T {
  return measured.reduce((best, next) => (next.p50Us < best.p50Us * CLEARLY_FASTER ? next : best));
}

/**
 * Says of each candidate that was measured whether it is taken.
 *
 * @param measured at least one, by the server's preference
 * @param dropped how many others were offered that do not work here
 */
export function chooseVariant<T extends Measured>(
  measured: readonly T[],
  dropped: number,
): { chosen: T; verdicts: Verdict[] } {
  const chosen = fastest(measured);
  const verdicts = measured.map(({ variant, p50Us }): Verdict => {
    if (variant === chosen.variant) return { variant, chosen: true, reason: whyChosen(chosen, measured, dropped) };
    const slower = p50Us > chosen.p50Us;
    const reason = slower
      ? `slower than ${chosen.variant}`
      : `not clearly faster than ${chosen.variant}, which is preferred`;
    return { variant, chosen: false, reason };
  });
  return { chosen, verdicts };
}

function whyChosen(chosen: Measured, measured: readonly Measured[], dropped: number): string {
  const others = measured.filter(({ variant }) => variant !== chosen.variant);
  if (others.length === 0) return dropped === 0 ? 'only candidate' : 'only candidate that works here';
  const next = others.reduce((best, other) => (other.p50Us < best.p50Us ? other : best));
  if (chosen.p50Us < next.p50Us * CLEARLY_FASTER) {
    return `fastest: ${(next.p50Us / chosen.p50Us).toFixed(1)} times as fast as ${next.variant}`;
  }
  const slowerOnes = chosen.p50Us <= next.p50Us ? 'fastest' : 'preferred';
  return `${slowerOnes}: ${next.variant} is about as fast`;
}

const SHORT_WHY: Partial<Record<ExecutionReason, string>> = {
  'golden-mismatch': 'golden vectors differ',
  'digest-mismatch': 'damaged on its way or on the disk',
};

/** Why a candidate was dropped, in a few words. */
export function whyDropped({ reason, message }: DroppedCandidate): string {
  return (SHORT_WHY[reason] ?? message).slice(0, 200);
}

/** The first of these that occurs tells most about why a release cannot be taken at all. */
const MOST_TELLING: readonly ExecutionReason[] = [
  'golden-mismatch',
  'graph-invalid',
  'size-mismatch',
  'digest-mismatch',
  'signature-mismatch',
  'no-space',
  'download-failed',
  'no-candidate',
];

/** Why an attempt fails that has no candidate left. @param dropped at least one */
export function mostTelling(dropped: readonly DroppedCandidate[]): { reason: ExecutionReason; message: string } {
  const ranked = dropped.toSorted((a, b) => rank(a) - rank(b));
  const message =
    ranked.length === 1 ? ranked[0]!.message : ranked.map((one) => `${one.variant}: ${one.message}`).join('; ');
  return { reason: ranked[0]!.reason, message };
}

function rank({ reason }: DroppedCandidate): number {
  const at = MOST_TELLING.indexOf(reason);
  return at < 0 ? MOST_TELLING.length : at;
}
