import { array, assert, constantFrom, nat, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nabBestThreshold, nabFalseAlarms, nabProbation, nabScore, nabWindowsOf } from './nab-score.ts';
import type { NabSeries } from './nab-score.ts';

const series: NabSeries = { rows: 100, windows: [[40, 49]], probation: 15 };
const at = (...rows: number[]): Uint8Array =>
  Uint8Array.from({ length: 100 }, (_, row) => (rows.includes(row) ? 1 : 0));
/** 2 / (1 + e^(5y)) − 1 */
const sigmoid = (y: number): number => 2 / (1 + Math.exp(5 * y)) - 1;

describe('the NAB score', () => {
  it('is 0 for silence and 100 for a detection at the first row of every window', () => {
    expect(nabScore([series], [at()]).score).toBe(0);
    expect(nabScore([series], [at(40)])).toEqual({ score: 100, windows: 1, found: 1, falsePositives: 0 });
  });

  it('is worth less the later the first detection in a window comes, and later ones change nothing', () => {
    // Row 45 is 5 rows before the end of 10: y = −0.5, worth 0.848284 / 0.986614.
    expect(nabScore([series], [at(45)]).score).toBeCloseTo((100 * (1 + 0.848284 / 0.986614)) / 2, 4);
    expect(nabScore([series], [at(45, 46, 49)]).score).toBe(nabScore([series], [at(45)]).score);
    expect(nabScore([series], [at(49)]).score).toBeCloseTo((100 * (1 + sigmoid(-0.1) / sigmoid(-1))) / 2, 9);
  });

  it('takes 0.11 for each row before the first window, less for rows right after one', () => {
    expect(nabScore([series], [at(20, 21, 40)]).score).toBeCloseTo((100 * (2 - 0.22)) / 2, 9);
    // 3 rows after a window of 10: y = 3 / 9, σ = −0.682262.
    expect(nabScore([series], [at(40, 52)]).score).toBeCloseTo((100 * (2 - 0.11 * 0.682262)) / 2, 4);
    expect(nabScore([series], [at(40, 90)]).score).toBeCloseTo((100 * (2 - 0.11)) / 2, 9);
  });

  it('counts nothing in the probation, which is 15 % but at most 750 rows', () => {
    expect(nabScore([series], [at(0, 14)]).score).toBe(0);
    expect(nabScore([series], [at(15)]).score).toBeCloseTo(-5.5, 9);
    expect([nabProbation(100), nabProbation(4_032), nabProbation(22_695)]).toEqual([15, 604, 750]);
  });

  it('adds up over a corpus before it is normalised', () => {
    const quiet: NabSeries = { rows: 100, windows: [], probation: 0 };
    expect(nabScore([series, quiet], [at(40), at(7)]).score).toBeCloseTo((100 * (2 - 0.11)) / 2, 9);
  });

  it('finds the threshold that is best for the whole corpus', () => {
    const scores = Float64Array.from({ length: 100 }, () => 0);
    scores[40] = 5;
    scores[41] = 9;
    scores[70] = 7;
    // At 9: row 41 alone. At 5 rows 40 and 70 are over, and a false alarm costs more than the row before earns.
    expect(nabBestThreshold([series], [scores])).toEqual({ score: nabScore([series], [at(41)]).score, threshold: 9 });
    scores[70] = 4;
    expect(nabBestThreshold([series], [scores])).toEqual({ score: 100, threshold: 5 });
    expect(nabBestThreshold([{ ...series, windows: [] }, series], [scores, at()]).threshold).toBe(Infinity);
  });

  it('finds no less than any single threshold gives, and exactly what its own gives', () => {
    const two: NabSeries = {
      rows: 60,
      windows: [
        [20, 24],
        [40, 49],
      ],
      probation: 9,
    };
    assert(
      property(array(nat(6), { minLength: 60, maxLength: 60 }), constantFrom(1, 2, 3, 4, 5, 6), (scores, any) => {
        const best = nabBestThreshold([two], [scores]);
        const scoreOf = (threshold: number): number =>
          nabScore([two], [scores.map((score) => (score >= threshold ? 1 : 0))]).score;
        expect(best.score).toBeCloseTo(scoreOf(best.threshold), 9);
        expect(best.score).toBeGreaterThanOrEqual(scoreOf(any) - 1e-9);
      }),
    );
  });

  it('counts a run of detections outside the windows as one false alarm', () => {
    expect(nabFalseAlarms(series, at(3, 15, 16, 17, 30, 49, 50, 51))).toBe(2);
    expect(nabFalseAlarms(series, at(60, 62))).toBe(2);
  });

  it('finds the rows of spans of time, also where time steps back', () => {
    const timesMs = [0, 10, 20, 20, 15, 30, 40];
    const spans = [
      { startMs: 35, endMs: 50 },
      { startMs: 15, endMs: 30 },
      { startMs: 90, endMs: 99 },
    ];
    expect(nabWindowsOf(timesMs, spans)).toEqual([
      [2, 5],
      [6, 6],
    ]);
  });
});
