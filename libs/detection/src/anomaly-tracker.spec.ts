import { describe, expect, it } from 'vitest';
import { AnomalyTracker } from './anomaly-tracker.ts';
import type { AnomalyUpdate, TrackerState } from './anomaly-tracker.ts';
import { createPolicy } from './policies.ts';
import type { AnyPolicy } from './policies.ts';

function detector(state?: TrackerState): {
  policy: AnyPolicy;
  tracker: AnomalyTracker;
  at: (seconds: number, score: number, contributions?: number[]) => AnomalyUpdate | undefined;
} {
  const policy = createPolicy({ kind: 'threshold', threshold: 10, releaseRatio: 0.8, minLength: 2 });
  let ids = 0;
  const tracker = new AnomalyTracker({
    channels: ['flow', 'current', 'pressure'],
    newId: () => `a${(ids += 1)}`,
    ...(state === undefined ? {} : { state }),
  });
  return {
    policy,
    tracker,
    at: (seconds, score, contributions) => tracker.observe(policy.decide([score]), seconds * 1_000, contributions),
  };
}

describe('AnomalyTracker', () => {
  it('opens at onset, dated back to the first window over the threshold, and closes on release', () => {
    const { at } = detector();
    expect(at(1, 5)).toBeUndefined();
    expect(at(2, 12, [1, 3, 0])).toBeUndefined();
    expect(at(3, 11, [9, 1, 0])).toEqual({
      change: 'opened',
      reason: null,
      anomaly: {
        id: 'a1',
        revision: 1,
        state: 'open',
        startedAt: 2_000,
        endedAt: null,
        peakAt: 2_000,
        peakScore: 12,
        threshold: 10,
        windows: 2,
        contributions: [
          { channel: 'current', share: 0.75 },
          { channel: 'flow', share: 0.25 },
        ],
      },
    });
    expect(at(4, 7)).toMatchObject({
      change: 'closed',
      reason: 'released',
      anomaly: { id: 'a1', revision: 2, state: 'closed', endedAt: 4_000, windows: 2 },
    });
    expect(at(5, 1)).toBeUndefined();
  });

  it('forgets what never became an alarm', () => {
    const { at } = detector();
    at(1, 99);
    at(2, 1);
    at(3, 12);
    expect(at(4, 12)).toMatchObject({ anomaly: { startedAt: 3_000, peakScore: 12 } });
  });

  it('gives every anomaly its own id and revisions that only grow', () => {
    const { at } = detector();
    const seen = new Map<string, number[]>();
    for (let second = 0; second < 400; second += 1) {
      const update = at(second, second % 100 < 60 ? 12 : 1);
      if (update !== undefined) {
        seen.set(update.anomaly.id, [...(seen.get(update.anomaly.id) ?? []), update.anomaly.revision]);
      }
    }
    expect([...seen.keys()]).toEqual(['a1', 'a2', 'a3', 'a4']);
    for (const revisions of seen.values()) expect(revisions).toEqual(revisions.map((_, i) => i + 1));
  });

  it('revises at most every ten seconds, and ever more rarely while an anomaly lasts', () => {
    const { at } = detector();
    const times: number[] = [];
    for (let second = 0; second < 86_400; second += 1) {
      if (at(second, 12 + second)?.change === 'revised') times.push(second);
    }
    expect(times[0]).toBe(11);
    expect(times.every((time, i) => i === 0 || time - times[i - 1]! >= 10)).toBe(true);
    expect(times.length).toBeLessThan(90);
    expect(times.at(-1)! - times.at(-2)!).toBeGreaterThan(3_000);
  });

  it('tells the peak and what contributed to it, not to a later window', () => {
    const { at } = detector();
    at(1, 11, [1, 0, 0]);
    at(2, 30, [0, 0, 5]);
    at(3, 20, [7, 7, 7]);
    expect(at(4, 1)?.anomaly).toMatchObject({
      peakAt: 2_000,
      peakScore: 30,
      contributions: [{ channel: 'pressure', share: 1 }],
    });
  });

  it('counts negative and NaN contributions as none', () => {
    const { at } = detector();
    at(1, 12, [-5, Number.NaN, 2]);
    expect(at(2, 12, [1, 1, 1])?.anomaly.contributions).toEqual([{ channel: 'pressure', share: 1 }]);
  });

  it('closes what is open when asked, and says why', () => {
    const { at, tracker } = detector();
    expect(tracker.close('gap')).toBeUndefined();
    at(1, 12);
    expect(tracker.close('gap')).toBeUndefined();
    at(2, 12);
    at(3, 12);
    expect(tracker.open).toBe(true);
    expect(tracker.close('gap')).toMatchObject({ reason: 'gap', anomaly: { state: 'closed', endedAt: 3_000 } });
    expect(tracker.open).toBe(false);
  });

  it('goes on with the same anomaly after its state was brought back', () => {
    const first = detector();
    first.at(1, 12);
    first.at(2, 12);
    const second = detector(JSON.parse(JSON.stringify(first.tracker.exportState())));
    expect(second.tracker.close('stopped')).toMatchObject({ anomaly: { id: 'a1', revision: 2, startedAt: 1_000 } });
  });
});
