import type { Anomaly } from '@drover/contracts';

/** What was known of an anomaly before a revision was stored. */
export interface KnownAnomaly {
  readonly state: Anomaly['state'];
  readonly peakScore: number;
}

export type AnomalyEventType = 'anomaly.opened' | 'anomaly.revised' | 'anomaly.closed';

/** A peak that has grown by this share is news; every window that is still over the threshold is not. */
const NOTABLE_GROWTH = 0.25;

/**
 * What to tell of a revision. Every anomaly is opened once and closed at most once, also where its first revision that arrives
 * is the one that closes it.
 */
export function newsOf(known: KnownAnomaly | null, revision: KnownAnomaly): AnomalyEventType[] {
  const closes = revision.state === 'closed' && known?.state !== 'closed';
  if (known === null) return closes ? ['anomaly.opened', 'anomaly.closed'] : ['anomaly.opened'];
  if (closes) return ['anomaly.closed'];
  const grown = revision.peakScore > known.peakScore + Math.abs(known.peakScore) * NOTABLE_GROWTH;
  return grown ? ['anomaly.revised'] : [];
}
