import { array, assert, double, nat, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPolicy } from './policies.ts';
import type { PolicySpec } from './policies.ts';

const spec: PolicySpec = { kind: 'threshold', threshold: 10, releaseRatio: 0.5, minLength: 2 };

function run(scores: readonly number[], policySpec = spec): string {
  const policy = createPolicy(policySpec);
  return scores
    .map((score) => {
      const decision = policy.decide([score]);
      if (decision.onset) return 'O';
      if (decision.released) return 'R';
      return decision.active ? 'a' : '.';
    })
    .join('');
}

describe('the threshold policy', () => {
  it('starts after the minimum length over the threshold and ends under the release level', () => {
    expect(run([1, 10, 11, 6, 5, 4.9, 4])).toBe('..OaaR.');
  });

  it('forgets a run that was too short', () => {
    expect(run([10, 1, 10, 1, 10, 10])).toBe('.....O');
  });

  it('has no hysteresis with a release ratio of 1', () => {
    expect(run([10, 9, 10, 10, 9.99], { ...spec, releaseRatio: 1, minLength: 1 })).toBe('OROaR');
  });

  it('compares the largest signal', () => {
    expect(createPolicy(spec).decide(new Float32Array([1, 12, 3]))).toMatchObject({ compared: 12, over: true });
  });

  it('ends without a release when it is interrupted', () => {
    const policy = createPolicy({ ...spec, minLength: 1 });
    policy.decide([20]);
    policy.interrupt();
    expect(policy.decide([1])).toMatchObject({ active: false, released: false });
  });

  it('decides the same after its state was exported as JSON and brought back at any point', () => {
    assert(
      property(array(double({ min: 0, max: 20, noNaN: true }), { minLength: 1 }), nat(), (scores, at) => {
        const cut = at % scores.length;
        const whole = createPolicy(spec);
        let other = createPolicy(spec);
        scores.forEach((score, i) => {
          if (i === cut) other = createPolicy(spec, JSON.parse(JSON.stringify(other.exportState())));
          expect(other.decide([score])).toEqual(whole.decide([score]));
        });
      }),
    );
  });

  it('alternates onset and release, whatever comes', () => {
    assert(
      property(array(double({ min: 0, max: 20, noNaN: true })), (scores) => {
        expect(run(scores).replaceAll(/[.a]/g, '')).toMatch(/^(OR)*O?$/);
      }),
    );
  });
});
