/** Where a twin document stands: the server's epoch first (it rises when a database is restored), then the version. */
export interface TwinOrder {
  readonly epoch: number;
  readonly version: number;
}

/** Negative, zero or positive, as `Array.prototype.sort` wants it. */
export function compareTwinOrder(a: TwinOrder, b: TwinOrder): number {
  return a.epoch - b.epoch || a.version - b.version;
}

/**
 * Whether a document replaces the one seen last. A rollback may go back within its epoch only: one from before a restore
 * is a replay, whatever it says.
 *
 * @param seen what was accepted last, or null where nothing was
 */
export function isNewer(candidate: TwinOrder, seen: TwinOrder | null, rollback = false): boolean {
  if (seen === null) return true;
  const order = compareTwinOrder(candidate, seen);
  return order > 0 || (rollback && order < 0 && candidate.epoch === seen.epoch);
}
