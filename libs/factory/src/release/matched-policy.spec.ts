import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.ts';
import { matchedPolicy } from './matched-policy.ts';
import type { MatchingScores } from './matched-policy.ts';

const POLICY = { kind: 'threshold', threshold: 1.4, releaseRatio: 0.75, minLength: 3 } as const;

/** Normal scores around 0.6, probes from there to 3. */
function scores(seed: number): MatchingScores {
  const random = seededRandom(seed);
  return {
    normalScores: Float64Array.from({ length: 400 }, () => 0.4 + 0.5 * random()),
    probeScores: Float64Array.from({ length: 600 }, () => 0.4 + 2.6 * random()),
  };
}

function mapped(from: MatchingScores, change: (score: number) => number): MatchingScores {
  return { normalScores: from.normalScores.map(change), probeScores: from.probeScores.map(change) };
}

function levels(policy: ReturnType<typeof matchedPolicy>): [start: number, end: number] {
  if (policy.kind !== 'threshold') throw new TypeError('not a threshold policy');
  return [policy.threshold, policy.threshold * policy.releaseRatio];
}

describe('a policy for another variant', () => {
  it('follows a change of scale', () => {
    const reference = scores(1);
    const [start, end] = levels(
      matchedPolicy(
        POLICY,
        reference,
        mapped(reference, (score) => 3 * score),
      ),
    );
    expect(start).toBeCloseTo(4.2, 6);
    expect(end).toBeCloseTo(3.15, 6);
  });

  it('follows a change that is another one near the threshold than for normal windows', () => {
    const reference = scores(1);
    // Small scores get twice as large, those at the threshold hardly change.
    const own = mapped(reference, (score) => Math.hypot(score, 0.8));
    const [start, end] = levels(matchedPolicy(POLICY, reference, own));
    expect(start).toBeCloseTo(Math.hypot(1.4, 0.8), 1);
    expect(end).toBeCloseTo(Math.hypot(1.05, 0.8), 1);
  });

  it('makes no alarms of normal windows whose scores have become noisy', () => {
    const reference = scores(1);
    const random = seededRandom(2);
    const own = mapped(reference, (score) => score + 1.2 * random());
    const [start] = levels(matchedPolicy(POLICY, reference, own));
    const over = own.normalScores.filter((score) => score >= start).length;
    expect(over).toBeLessThan(0.02 * own.normalScores.length);
  });

  it('falls back on normal scores where none comes near the threshold', () => {
    const normalScores = Float64Array.from({ length: 200 }, (_, i) => 0.1 + 0.001 * i);
    const reference = { normalScores, probeScores: new Float64Array(0) };
    const own = { normalScores: normalScores.map((score) => score / 2), probeScores: new Float64Array(0) };
    expect(levels(matchedPolicy(POLICY, reference, own))[0]).toBeCloseTo(0.7, 6);
  });

  it('never ends an alarm above the level that starts one, and stays as it is without scores', () => {
    const reference = scores(1);
    const flat = mapped(reference, (score) => (score > 1.2 ? 2 : 1.9));
    const [start, end] = levels(matchedPolicy(POLICY, reference, flat));
    expect(end).toBeLessThanOrEqual(start);
    const none = { normalScores: new Float64Array(0), probeScores: new Float64Array(0) };
    const [before, after] = [levels(POLICY), levels(matchedPolicy(POLICY, none, none))];
    for (const i of [0, 1]) expect(after[i]).toBeCloseTo(before[i]!, 9);
  });
});
