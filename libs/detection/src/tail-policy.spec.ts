import { array, assert, double, integer, nat, oneof, property, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPolicy } from './policies.ts';
import { TailHistory } from './tail-history.ts';
import type { TailPolicySpec } from './tail-policy.ts';

const spec: TailPolicySpec = {
  kind: 'tail',
  threshold: 3,
  tailShare: 0.03,
  cap: 12,
  refractoryShare: 0.06,
  clearRatio: 1.1,
  horizonRows: 20_000,
};

/** Ordinary values, between −1 and 1. */
const ordinary = (row: number): number => Math.sin(row * 1.7) * Math.cos(row * row);

/** Rows at which an alarm starts. */
function onsets(values: readonly (readonly number[])[], policySpec = spec): number[] {
  const policy = createPolicy(policySpec);
  return values.flatMap((signals, row) => (policy.decide(signals).onset ? [row] : []));
}

/** One signal of ordinary values but for some rows. */
function series(rows: number, odd: Readonly<Record<number, number>>): number[][] {
  return Array.from({ length: rows }, (_, row) => [odd[row] ?? ordinary(row)]);
}

describe('the tail policy', () => {
  it('says nothing while there is no history', () => {
    expect(onsets(series(30, { 5: 1e9 }))).toEqual([]);
  });

  it('notices what is far out on either side, or on one side only where it is told so', () => {
    expect(onsets(series(600, { 300: 3 }))).toEqual([300]);
    expect(onsets(series(600, { 300: -3 }))).toEqual([300]);
    expect(onsets(series(600, { 300: -3 }), { ...spec, sides: ['upper'] })).toEqual([]);
  });

  it('makes one alarm of one event, and another only for what is clearly higher', () => {
    const lasting = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [500 + i, 2]));
    expect(onsets(series(700, lasting))).toEqual([500]);
    expect(onsets(series(700, { 500: 1.2, 510: 1.2, 515: 1.6 }))).toEqual([500, 515]);
  });

  it('lowers the bar again after its share of the rows seen', () => {
    // 6 % of 500 rows.
    expect(onsets(series(700, { 500: 1.6, 528: 1.6 }))).toEqual([500]);
    expect(onsets(series(700, { 500: 1.6, 545: 1.6 }))).toEqual([500, 545]);
    expect(onsets(series(700, { 500: 1.6, 528: 1.6 }), { ...spec, refractoryShare: 0.01 })).toEqual([500, 528]);
  });

  it('lets no single signal count for more than the cap', () => {
    const values = series(400, { 300: 1e6 }).map(([value]) => [value!, 0, 0]);
    expect(onsets(values)).toEqual([300]);
    expect(onsets(values, { ...spec, cap: 6 })).toEqual([]);
  });

  it('decides from the first row on where it was given what is normal', () => {
    const history = new TailHistory(spec);
    for (let row = 0; row < 640; row += 1) history.add(ordinary(row));
    const { values, weights } = history.exportState();
    const policy = createPolicy({ ...spec, prior: [{ values, weights }] });
    expect(policy.decide([0.3]).active).toBe(false);
    expect(policy.decide([5])).toMatchObject({ active: true, onset: true });
  });

  it('ends an alarm at a gap without a release, and still knows what is usual', () => {
    const policy = createPolicy(spec);
    for (const signals of series(501, { 500: 1.2 })) policy.decide(signals);
    policy.interrupt();
    expect(policy.decide([1.2])).toMatchObject({ active: false, onset: false, released: false });
    expect(policy.decide([1.6])).toMatchObject({ onset: true });
  });

  it('starts over when its state is of other signals', () => {
    const policy = createPolicy(spec);
    for (const signals of series(500, {})) policy.decide(signals);
    const other = createPolicy(spec, policy.exportState());
    expect(other.decide([50, 50]).compared).toBe(0);
  });

  const finite = oneof(integer({ min: -3, max: 3 }), double({ min: -1e3, max: 1e3, noNaN: true }));
  const rows = array(tuple(finite, finite), { minLength: 40, maxLength: 300 });

  it('decides the same after its state was exported as JSON and brought back at any point', () => {
    const eager = { ...spec, threshold: 1, horizonRows: 100 };
    assert(
      property(rows, nat(), (values, at) => {
        const cut = at % values.length;
        const whole = createPolicy(eager);
        let other = createPolicy(eager);
        for (const [row, signals] of values.entries()) {
          if (row === cut) other = createPolicy(eager, JSON.parse(JSON.stringify(other.exportState())));
          expect(other.decide(signals)).toEqual(whole.decide(signals));
        }
      }),
    );
  });

  it('is over exactly where the compared value reaches the threshold, and alternates onset and release', () => {
    assert(
      property(rows, (values) => {
        const policy = createPolicy({ ...spec, threshold: 1 });
        let active = false;
        for (const signals of values) {
          const decision = policy.decide(signals);
          expect(decision.active).toBe(decision.compared >= decision.threshold);
          expect([decision.onset, decision.released]).toEqual([decision.active && !active, active && !decision.active]);
          expect(decision.compared).toBeGreaterThanOrEqual(0);
          expect(decision.compared).toBeLessThanOrEqual(12);
          active = decision.active;
        }
      }),
    );
  });

  it('does not mind the unit of a signal', () => {
    assert(
      property(rows, integer({ min: -6, max: 6 }), (values, power) => {
        const scaled = values.map(([a, b]) => [a * 2 ** power, b]);
        expect(onsets(scaled, { ...spec, threshold: 1 })).toEqual(onsets(values, { ...spec, threshold: 1 }));
      }),
    );
  });

  it('finds no less unusual what lies farther out', () => {
    assert(
      property(
        rows,
        double({ min: 0, max: 1e3, noNaN: true }),
        double({ min: 0, max: 1e3, noNaN: true }),
        (values, a, b) => {
          const comparedOf = (value: number): number => {
            const policy = createPolicy({ ...spec, sides: ['upper', 'upper'] });
            for (const signals of values) policy.decide(signals);
            return policy.decide([value, value]).compared;
          };
          expect(comparedOf(Math.max(a, b))).toBeGreaterThanOrEqual(comparedOf(Math.min(a, b)));
        },
      ),
    );
  });
});
