import { encodeModel } from '@drover/onnx';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { adaptive } from '../adaptive/train-adaptive.ts';
import { InvalidTrainingOptionsError, NotEnoughDataError, UnusableDataError } from '../errors.ts';
import { machineRecording } from '../machine.fixture.ts';
import { shareOver, streamedScores } from '../mahalanobis/online.fixture.ts';
import { scoreRecording } from '../evaluation/score-recording.ts';
import type { Recording } from '../window-set.ts';
import { choose } from './choose.ts';
import type { TrialResult } from './choose.ts';
import { foldsOf } from './folds.ts';
import { normalised } from './normalised-detector.ts';
import { auto } from './train-auto.ts';

const sampling = { stride: 1, rateHz: 1, maxGapMs: 10_000 };
const data = (...recordings: Recording[]) => ({ ...sampling, recordings });
const seed = { seed: 1 };

function trials(...values: number[]): TrialResult[] {
  return values.map((detection, t) => ({ block: t % 3, detection, falseAlarms: 0 }));
}

describe('the automatic choice', () => {
  it('stays with the preferred one when another is only a little or only sometimes better', () => {
    const preferred = { members: ['a'], results: trials(0.5, 0.5, 0.5) };
    const little = { members: ['b'], results: trials(0.51, 0.51, 0.51) };
    const sometimes = { members: ['c'], results: trials(0.9, 0.9, 0.4) };
    expect(choose([preferred, little, sometimes]).members).toEqual(['a']);
  });

  it('takes what is clearly better in every block, and says by how much', () => {
    const preferred = { members: ['a'], results: trials(0.5, 0.4, 0.6) };
    const better = { members: ['b', 'c'], results: trials(0.7, 0.6, 0.8) };
    const { members, reasons } = choose([preferred, better]);
    expect(members).toEqual(['b', 'c']);
    expect(reasons.at(-1)).toContain('b + c; better than a in every block, by 0.200');
  });

  it('counts false alarms against detection', () => {
    const alarming = { members: ['a'], results: trials(0.6, 0.6, 0.6).map((t) => ({ ...t, falseAlarms: 0.4 })) };
    expect(choose([alarming, { members: ['b'], results: trials(0.5, 0.5, 0.5) }]).members).toEqual(['b']);
  });
});

describe('blocks of time', () => {
  it('are held out once each, never trained on, and never reach into another recording', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 30, max: 200 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 2, max: 5 }),
        (lengths, count) => {
          let next = 0;
          const recordings = lengths.map((rows): Recording => {
            const values = Float32Array.from({ length: rows }, () => next++);
            return { channels: ['id'], rows, values };
          });
          const folds = foldsOf(recordings, count, { lead: 10, mostRows: 1_000 });
          expect(folds).toHaveLength(count);
          for (const { training, heldOut, lead } of folds) {
            const trained = new Set(training.flatMap(({ values }) => [...values]));
            const held = [...heldOut.values.subarray(lead)];
            expect(held.length).toBeGreaterThan(0);
            expect(held.some((id) => trained.has(id))).toBe(false);
            expect(heldOut.values.every((id, i) => i === 0 || id === heldOut.values[i - 1]! + 1)).toBe(true);
            expect(
              recordings.some(
                ({ values }) => values.includes(heldOut.values[0]!) && values.includes(heldOut.values.at(-1)!),
              ),
            ).toBe(true);
          }
        },
      ),
    );
  });
});

describe('a normalised detector', () => {
  it('gives the same scores in units of its threshold', async () => {
    const recording = machineRecording(400, 1);
    const detector = await adaptive.train(data(recording), {}, seed);
    const unit = normalised(detector);
    const [raw, scaled] = [await streamedScores(detector, recording), await streamedScores(unit, recording)];
    const threshold = detector.policy.kind === 'threshold' ? detector.policy.threshold : Number.NaN;
    for (const [row, score] of raw.entries()) expect(scaled[row]! * threshold).toBeCloseTo(score, 4);
  });
});

describe('auto', () => {
  it('makes one detector of several families that finds faults and leaves normal rows alone, and says why', async () => {
    const detector = await auto.train(data(machineRecording(900, 1)), {}, seed);
    expect(detector.family).toBe('auto');
    expect((detector.summary['choice'] as string[]).at(-1)).toMatch(/^Chosen: /);
    const share = async (recording: Recording, from: number): Promise<number> => {
      const shape = { ...detector.shape, stateReset: detector.stateReset };
      const { scores, signals } = await scoreRecording(encodeModel(detector.graph), recording, shape);
      const largest = Array.from({ length: scores.length / signals }, (_, n) =>
        Math.max(...scores.subarray(n * signals, (n + 1) * signals)),
      );
      return shareOver(detector, largest.slice(from));
    };
    expect(await share(machineRecording(600, 2), 0)).toBeLessThan(0.02);
    const fault = { channel: 2, fromRow: 0, toRow: 120, offset: 1.5 };
    expect(await share(machineRecording(120, 3, [fault]), 20)).toBe(1);
  });

  it('is the same for the same data and seed', async () => {
    const recording = machineRecording(350, 4);
    const [one, two] = [await auto.train(data(recording), {}, seed), await auto.train(data(recording), {}, seed)];
    expect(encodeModel(one.graph)).toEqual(encodeModel(two.graph));
    expect(one.summary).toEqual(two.summary);
  });

  it('takes shape and value for a single series', async () => {
    const { values } = machineRecording(500, 5);
    const single = { channels: ['flow'], rows: 500, values: values.filter((_, i) => i % 4 === 1) };
    const detector = await auto.train(data(single), {}, seed);
    expect(detector.policy.kind).toBe('tail');
    expect((detector.summary['choice'] as string[])[0]).toContain('One channel');
  });

  it('does with few rows, several recordings, and families that cannot be trained', async () => {
    const few = await auto.train(data(machineRecording(120, 6)), {}, seed);
    expect((few.summary['choice'] as string[])[0]).toContain('too few');
    const fewer = await auto.train(data(machineRecording(70, 6)), {}, seed);
    expect(fewer.summary['families']).toBe('adaptive');
    const several = await auto.train(data(machineRecording(200, 7), machineRecording(150, 8)), {}, seed);
    expect(several.policy.kind).toBe('threshold');
  });

  it('reports progress and stops when told to', async () => {
    const seen: number[] = [];
    const controller = new AbortController();
    const onProgress = (fraction: number): void => {
      seen.push(fraction);
      if (fraction > 0.3) controller.abort(new Error('enough'));
    };
    const training = auto.train(data(machineRecording(400, 1)), {}, { seed: 1, onProgress, signal: controller.signal });
    await expect(training).rejects.toThrow('enough');
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)!).toBeLessThan(0.6);
  });

  it('refuses data and options that cannot work', async () => {
    const normal = machineRecording(400, 1);
    await expect(auto.train(data(machineRecording(40, 1)), {}, seed)).rejects.toThrow(NotEnoughDataError);
    const still = { ...normal, values: normal.values.map(() => 3) };
    await expect(auto.train(data(still), {}, seed)).rejects.toThrow(UnusableDataError);
    await expect(auto.train(data(normal), { folds: 1 }, seed)).rejects.toThrow(InvalidTrainingOptionsError);
  });
});
