import type { Decision } from './decision.ts';

/** A channel's part in an anomaly's peak. */
export interface Contribution {
  readonly channel: string;
  /** 0 to 1; all channels' shares sum to 1. */
  readonly share: number;
}

/** An interval in which an alarm was on. Upserted by `id`; the highest `revision` wins. Times are sample times. */
export interface TrackedAnomaly {
  readonly id: string;
  /** From 1, grows with every update of this anomaly. */
  readonly revision: number;
  readonly state: 'open' | 'closed';
  /** The first window over the threshold, which can be earlier than the onset by the policy's minimum length. */
  readonly startedAt: number;
  /** Null while open. */
  readonly endedAt: number | null;
  readonly peakAt: number;
  readonly peakScore: number;
  readonly threshold: number;
  /** Windows from `startedAt` on. */
  readonly windows: number;
  /** At the peak, largest share first. */
  readonly contributions: readonly Contribution[];
}

export type AnomalyChange = 'opened' | 'revised' | 'closed';
/** Why an anomaly was closed: the score fell, or what it was measured with went away. */
export type CloseReason = 'released' | 'gap' | 'replaced' | 'stopped';

export interface AnomalyUpdate {
  readonly change: AnomalyChange;
  readonly reason: CloseReason | null;
  readonly anomaly: TrackedAnomaly;
}

interface Episode {
  id: string;
  revision: number;
  startedAt: number;
  peakAt: number;
  peakScore: number;
  threshold: number;
  windows: number;
  lastAt: number;
  /** Sample time of the last update that was emitted. */
  emittedAt: number;
  peakShares: number[];
}

/** Plain JSON, to persist and to bring back. */
export interface TrackerState {
  /** Not an anomaly yet while its id is empty: over the threshold, but shorter than the policy's minimum length. */
  readonly episode: Readonly<Episode> | null;
}

export interface TrackerOptions {
  /** Names of the C channels, in the signature's order. */
  readonly channels: readonly string[];
  /** Gives an anomaly its id, at onset. */
  readonly newId: () => string;
  /** Shortest sample time between two revisions of one anomaly. Default 10 s. */
  readonly revisionIntervalMs?: number;
  readonly state?: TrackerState;
}

const MOST_CONTRIBUTIONS = 16;
/** Revisions come no sooner than after this share of the anomaly's length so far: their number grows only logarithmically. */
const REVISION_GROWTH = 0.1;

/**
 * Follows one detector's decisions and keeps the anomaly of the moment: opened at onset, revised at a bounded rate,
 * closed on release. At most one anomaly is open.
 */
export class AnomalyTracker {
  readonly #channels: readonly string[];
  readonly #newId: () => string;
  readonly #intervalMs: number;
  #episode: Episode | null;

  constructor(options: TrackerOptions) {
    this.#channels = options.channels;
    this.#newId = options.newId;
    this.#intervalMs = options.revisionIntervalMs ?? 10_000;
    const episode = options.state?.episode ?? null;
    this.#episode = episode === null ? null : { ...episode, peakShares: [...episode.peakShares] };
  }

  /** True while an anomaly is open. */
  get open(): boolean {
    return this.#episode !== null && this.#episode.id !== '';
  }

  /**
   * @param timeMs time of the window's last sample
   * @param contributions C values from `offset` on, or undefined where the detector gives none
   * @returns what to tell, or undefined if there is nothing new
   */
  observe(
    decision: Readonly<Decision>,
    timeMs: number,
    contributions?: ArrayLike<number>,
    offset = 0,
  ): AnomalyUpdate | undefined {
    if (decision.released) return this.close('released', timeMs);
    if (!decision.over && !decision.active) {
      this.#episode = null;
      return undefined;
    }
    const episode = (this.#episode ??= newEpisode(timeMs, decision.threshold));
    episode.windows += 1;
    episode.lastAt = timeMs;
    if (decision.compared > episode.peakScore) {
      episode.peakScore = decision.compared;
      episode.peakAt = timeMs;
      episode.threshold = decision.threshold;
      episode.peakShares = sharesOf(contributions, offset, this.#channels.length);
    }
    if (decision.active && episode.id === '') {
      episode.id = this.#newId();
      return this.#emit('opened', null, null);
    }
    if (episode.id === '') return undefined;
    const sinceEmitted = timeMs - episode.emittedAt;
    const due = Math.max(this.#intervalMs, (timeMs - episode.startedAt) * REVISION_GROWTH);
    return sinceEmitted >= due ? this.#emit('revised', null, null) : undefined;
  }

  /** Closes what is open, if anything is. @param timeMs its end; default: the last window seen */
  close(reason: CloseReason, timeMs?: number): AnomalyUpdate | undefined {
    const episode = this.#episode;
    if (episode === null) return undefined;
    const update = episode.id === '' ? undefined : this.#emit('closed', reason, timeMs ?? episode.lastAt);
    this.#episode = null;
    return update;
  }

  exportState(): TrackerState {
    return {
      episode: this.#episode === null ? null : { ...this.#episode, peakShares: [...this.#episode.peakShares] },
    };
  }

  #emit(change: AnomalyChange, reason: CloseReason | null, endedAt: number | null): AnomalyUpdate {
    const episode = this.#episode!;
    episode.revision += 1;
    episode.emittedAt = episode.lastAt;
    return {
      change,
      reason,
      anomaly: {
        id: episode.id,
        revision: episode.revision,
        state: change === 'closed' ? 'closed' : 'open',
        startedAt: episode.startedAt,
        endedAt,
        peakAt: episode.peakAt,
        peakScore: episode.peakScore,
        threshold: episode.threshold,
        windows: episode.windows,
        contributions: this.#ranked(episode.peakShares),
      },
    };
  }

  #ranked(shares: readonly number[]): Contribution[] {
    return shares
      .map((share, c) => ({ channel: this.#channels[c]!, share }))
      .filter(({ share }) => share > 0)
      .toSorted((a, b) => b.share - a.share)
      .slice(0, MOST_CONTRIBUTIONS);
  }
}

function newEpisode(timeMs: number, threshold: number): Episode {
  return {
    id: '',
    revision: 0,
    startedAt: timeMs,
    peakAt: timeMs,
    peakScore: Number.NEGATIVE_INFINITY,
    threshold,
    windows: 0,
    lastAt: timeMs,
    emittedAt: timeMs,
    peakShares: [],
  };
}

/** Each channel's part of the sum; negative and non-finite contributions count as none. */
function sharesOf(contributions: ArrayLike<number> | undefined, offset: number, count: number): number[] {
  if (contributions === undefined) return [];
  const parts = Array.from({ length: count }, (_, c) => {
    const value = contributions[offset + c] ?? 0;
    return Number.isFinite(value) && value > 0 ? value : 0;
  });
  const sum = parts.reduce((total, part) => total + part, 0);
  return sum > 0 ? parts.map((part) => part / sum) : [];
}
