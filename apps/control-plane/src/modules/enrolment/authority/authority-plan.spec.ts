import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { authorityLifetimeMs, planAuthorities } from './authority-plan.ts';

const DAY = 86_400_000;
const LIFETIME = 90 * DAY;
const YEARS_10 = 3_650 * DAY;
const at = (day: number) => day * DAY;
const old = { id: 'old', createdAt: 0, expiresAt: YEARS_10 };

describe('the plan of authorities', () => {
  it('has nothing to say where none is left that has not expired', () => {
    expect(planAuthorities([], 0, LIFETIME)).toBeNull();
    expect(planAuthorities([old], YEARS_10, LIFETIME)).toBeNull();
  });

  it('lets one authority do everything, and wants a successor three certificate lifetimes before its end', () => {
    const plan = planAuthorities([old], at(100), LIFETIME)!;
    expect(plan.issuing).toBe(old);
    expect(plan.serving).toBe(old);
    expect(plan.successorDueAt).toBe(YEARS_10 - 3 * LIFETIME);
  });

  it('issues to devices with the successor at once, and serves with the old one until every device knows the new', () => {
    const made = YEARS_10 - 3 * LIFETIME;
    const successor = { id: 'new', createdAt: made, expiresAt: made + YEARS_10 };
    const early = planAuthorities([successor, old], made + 1, LIFETIME)!;
    expect(early.accepted.map((one) => one.id)).toEqual(['old', 'new']);
    expect([early.issuing.id, early.serving.id]).toEqual(['new', 'old']);
    expect(early.servingUntil).toBe(YEARS_10 - LIFETIME);
    const late = planAuthorities([successor, old], YEARS_10 - LIFETIME, LIFETIME)!;
    expect(late.serving.id).toBe('new');
    expect(late.accepted).toHaveLength(2);
    expect(planAuthorities([successor, old], YEARS_10, LIFETIME)!.accepted.map((one) => one.id)).toEqual(['new']);
  });

  it('never shows a device a server certificate whose authority it does not know, nor lets one run out', () => {
    // A device renews some time within two thirds to all of each certificate's life, and learns what is accepted then.
    const lifetimes = fc.integer({ min: 1, max: 400 }).map((days) => days * DAY);
    const fraction = fc.double({ min: 0.66, max: 0.99, noNaN: true });
    fc.assert(
      fc.property(lifetimes, fraction, fc.nat(5_000), (lifetime, renewsAfter, offsetDays) => {
        const authorities = [{ id: 0, createdAt: 0, expiresAt: authorityLifetimeMs(lifetime) }];
        let known: number[] = [];
        let renewAt = offsetDays * DAY;
        const step = lifetime / 7;
        for (let now = 0; now < 3 * authorityLifetimeMs(lifetime); now += step) {
          let plan = planAuthorities(authorities, now, lifetime);
          if (plan === null) return false;
          if (plan.successorDueAt <= now) {
            const id = authorities.length;
            authorities.push({ id, createdAt: now, expiresAt: now + authorityLifetimeMs(lifetime) });
            plan = planAuthorities(authorities, now, lifetime)!;
          }
          const enrolled = known.length > 0;
          if (enrolled && !known.includes(plan.serving.id)) return false;
          if (now >= renewAt) {
            known = plan.accepted.map((one) => one.id);
            renewAt = now + lifetime * renewsAfter;
          }
          if (plan.accepted.length > 2) return false;
        }
        return true;
      }),
      { numRuns: 40 },
    );
  });
});
