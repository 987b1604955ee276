const YEAR_MS = 365 * 86_400_000;

export interface AuthorityTimes {
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly expiresAt: number;
}

export interface AuthorityPlan<T> {
  /** Certificates of these count: all that have not expired, the oldest first. */
  readonly accepted: readonly T[];
  /** Issues devices' certificates: the newest. */
  readonly issuing: T;
  /** Issues the server's certificate: the oldest that every device still knows. */
  readonly serving: T;
  /** When another one becomes `serving`. */
  readonly servingUntil: number;
  /** When the next one has to be made; in the past: now. */
  readonly successorDueAt: number;
}

export function authorityLifetimeMs(certificateLifetimeMs: number): number {
  return Math.max(10 * YEAR_MS, 6 * certificateLifetimeMs);
}

/**
 * Which authority does what while one replaces another. A device learns of authorities when it enrols or renews, so each of
 * them knows a new one at the latest one certificate's lifetime after it was made:
 *
 *     made ────────── successor made ── all devices know it ── server changes over ── expired
 *                     −3 lifetimes      −2 lifetimes           −1 lifetime            0
 *
 * @param authorities not retired, in any order
 * @returns null where none is left that has not expired
 */
export function planAuthorities<T extends AuthorityTimes>(
  authorities: readonly T[],
  now: number,
  certificateLifetimeMs: number,
): AuthorityPlan<T> | null {
  const accepted = authorities.filter((one) => one.expiresAt > now).toSorted((a, b) => a.createdAt - b.createdAt);
  const issuing = accepted.at(-1);
  if (!issuing) return null;
  const changesOverAt = (one: T): number => one.expiresAt - step(one, certificateLifetimeMs);
  const serving = accepted.find((one) => now < changesOverAt(one)) ?? issuing;
  return {
    accepted,
    issuing,
    serving,
    servingUntil: serving === issuing ? issuing.expiresAt : changesOverAt(serving),
    successorDueAt: issuing.expiresAt - 3 * step(issuing, certificateLifetimeMs),
  };
}

/** A lifetime of a certificate, but never so long that an authority would be replaced as soon as it is made. */
function step(authority: AuthorityTimes, certificateLifetimeMs: number): number {
  return Math.min(certificateLifetimeMs, (authority.expiresAt - authority.createdAt) / 6);
}
