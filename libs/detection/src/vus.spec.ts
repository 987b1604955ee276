import { array, assert, double, integer, property, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aucPr, vusPr } from './vus.ts';
import type { ScoredSeries } from './vus.ts';

const single = (scores: number[], labels: number[]): ScoredSeries[] => [{ scores, labels }];

describe('the area under precision and recall', () => {
  it('agrees with a case computed by hand', () => {
    // Ranks 1, 3 and 4 are labelled: (1/1 + 2/3 + 3/4) / 3.
    expect(aucPr(single([9, 8, 7, 6, 5], [1, 0, 1, 1, 0]))).toBeCloseTo((1 + 2 / 3 + 3 / 4) / 3, 12);
  });

  it('takes equal scores as one threshold, so that their order does not matter', () => {
    expect(aucPr(single([1, 1, 1, 1], [1, 0, 0, 0]))).toBe(0.25);
    expect(aucPr(single([1, 1, 1, 1], [0, 0, 0, 1]))).toBe(0.25);
  });

  it('is no number where nothing is labelled', () => {
    expect(aucPr(single([1, 2], [0, 0]))).toBeNaN();
    expect(vusPr(single([1, 2], [0, 0]))).toBeNaN();
    expect(vusPr([])).toBeNaN();
  });
});

describe('the volume under the surface', () => {
  it('agrees with a single anomaly computed by hand', () => {
    const series = single([3, 2, 4, 5, 1], [0, 0, 1, 0, 0]);
    // Buffers 0 and 1 reach no other row: the label is second, precision 1/2. Buffer 2: weights √½, 1, √½; P = (1 + 1 + √2)/2.
    const side = Math.SQRT1_2;
    const whole = (2 + 2 * side) / 2;
    const atTwo = (side / whole) * side + (1 - side / whole) * ((1 + side) / 2);
    expect(vusPr(series, { maxBuffer: 0 })).toBeCloseTo(0.5, 12);
    expect(vusPr(series, { maxBuffer: 2 })).toBeCloseTo((0.5 + 0.5 + atTwo) / 3, 12);
  });

  it('rewards that every interval is found at all', () => {
    const labels = [1, 0, 0, 0, 0, 0, 1];
    // One found: recall ½ × existence ½. Then the other one, at the last rank.
    expect(vusPr(single([7, 6, 5, 4, 3, 2, 1], labels), { maxBuffer: 0 })).toBeCloseTo(0.25 + (0.75 * 2) / 7, 12);
    expect(vusPr(single([7, 5, 4, 3, 2, 1, 6], labels), { maxBuffer: 0 })).toBe(1);
  });

  it('adds the buffers of two intervals where they meet, up to 1, and counts these as one', () => {
    // Buffer 4 reaches two rows: the one in between weighs min(1, 2 √¾) = 1, the outer ones √¾ and √½.
    const labels = [0, 0, 1, 0, 1, 0, 0];
    const scores = [1, 2, 3, 9, 4, 2.5, 1.5];
    const [near, far] = [Math.sqrt(3 / 4), Math.sqrt(1 / 2)];
    const whole = (2 + 3 + 2 * near + 2 * far) / 2;
    let area = 0;
    let recall = 0;
    let found = 0;
    for (const [i, weight] of [1, 1, 1, near, near, far, far].entries()) {
      found += weight;
      const next = Math.min(1, found / whole);
      area += (next - recall) * (found / (i + 1));
      recall = next;
    }
    const alone = vusPr(single(scores, labels), { maxBuffer: 4, mostBuffers: 2 });
    // Buffer 0: the labels have ranks 2 and 3.
    const none = 0.25 * (1 / 2) + 0.75 * (2 / 3);
    expect(alone).toBeCloseTo((none + area) / 2, 12);
  });

  it('is worth more for an alarm just beside an interval than for one far away', () => {
    const labels = Array.from({ length: 200 }, (_, i) => (i >= 100 && i < 110 ? 1 : 0));
    const alarmAt = (row: number): ScoredSeries[] =>
      single(
        labels.map((_, i) => (Math.abs(i - row) < 5 ? 1 : 0)),
        labels,
      );
    const values = [105, 112, 116, 150].map((row) => vusPr(alarmAt(row), { maxBuffer: 20 }));
    expect(values).toEqual(values.toSorted((a, b) => b - a));
    expect(new Set(values.map((value) => value.toFixed(6))).size).toBe(4);
    expect(aucPr(alarmAt(116))).toBeCloseTo(aucPr(alarmAt(150)), 12);
  });

  it('never reaches from one series into the next, and leaves rows without a score out', () => {
    const a = { scores: [1, 5], labels: [0, 1] };
    const b = { scores: [4, 2], labels: [0, 0] };
    const apart = vusPr([a, b], { maxBuffer: 2 });
    const joined = vusPr(single([1, 5, 4, 2], [0, 1, 0, 0]), { maxBuffer: 2 });
    expect(joined).not.toBeCloseTo(apart, 6);
    const padded = { scores: [1, 5, Number.NaN], labels: [0, 1, 1] };
    expect(vusPr([padded, b], { maxBuffer: 2 })).toBe(apart);
    const unreachable = { scores: [Number.NaN, Number.NaN], labels: [1, 1] };
    expect(vusPr([a, b, unreachable], { maxBuffer: 2 })).toBe(apart);
  });

  it('lies between 0 and 1, is 1 for the labels themselves without buffer, and does not change with the scale', () => {
    const row = tuple(double({ noNaN: true, min: -1e3, max: 1e3 }), integer({ min: 0, max: 1 }));
    assert(
      property(array(row, { minLength: 1, maxLength: 60 }), integer({ min: 0, max: 12 }), (rows, maxBuffer) => {
        const labels = rows.map(([, label]) => label);
        const scores = rows.map(([score]) => Math.fround(score));
        const value = vusPr(single(scores, labels), { maxBuffer });
        if (!labels.includes(1)) return Number.isNaN(value);
        expect(value).toBeGreaterThan(0);
        expect(value).toBeLessThanOrEqual(1 + 1e-9);
        expect(
          vusPr(
            single(
              scores.map((score) => 8 * score),
              labels,
            ),
            { maxBuffer },
          ),
        ).toBeCloseTo(value, 9);
        expect(vusPr(single(labels, labels), { maxBuffer: 0 })).toBeCloseTo(1, 9);
        return true;
      }),
    );
  });

  it('takes 200,000 rows in less than two seconds', { timeout: 60_000 }, () => {
    const rows = 200_000;
    const labels = Uint8Array.from({ length: rows }, (_, i) => (i % 400 < 150 ? 1 : 0));
    const scores = Float32Array.from({ length: rows }, (_, i) => Math.sin(i * 12.9898) + labels[i]!);
    // Time of the processor, not of the clock: other tests run at the same time.
    const start = process.cpuUsage();
    const value = vusPr([{ scores, labels }]);
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1_000).toBeLessThan(2_000);
    expect(value).toBeGreaterThan(0.5);
  });
});
