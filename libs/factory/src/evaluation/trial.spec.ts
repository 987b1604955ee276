import { describe, expect, it } from 'vitest';
import { machineRecording } from '../machine.fixture.ts';
import { seededRandom } from '../random.ts';
import { boundedItems, faultyHoldOuts, heldOutFrom } from './trial-data.ts';
import { agreementOn, qualityOf } from './trial.ts';
import type { Answer, Trial } from './trial.ts';

const SHAPE = { window: 3, stride: 1, rateHz: 2, maxGapMs: 5_000 };

/** Twelve rows, half a second apart, two labelled events; an alarm on the first and one on nothing. */
const labels = Uint8Array.of(0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0);
const recording = { channels: ['a'], rows: 12, values: new Float32Array(12), labels };
const trial: Trial = { items: [{ recording }], measuredOn: 'labelled', probes: [] };
const answer: Answer = {
  alarms: Uint8Array.of(1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0),
  compared: Float64Array.of(9, Number.NaN, 1, 2, 8, 7, 1, 6, 0, 3, 1, 1),
  from: 2,
};

describe('quality on a trial', () => {
  it('agrees with a case counted by hand', () => {
    const metrics = qualityOf(trial, [answer], SHAPE);
    // Rows from 2 on: alarms at 4, 5 and 7; labelled are 3, 4 and 9.
    expect(metrics.f1).toBeCloseTo(2 / 6, 12);
    expect(metrics.far).toBeCloseTo(2 / 7, 12);
    expect(metrics.mar).toBeCloseTo(2 / 3, 12);
    expect(metrics).toMatchObject({
      measuredOn: 'labelled',
      eventPrecision: 0.5,
      eventRecall: 0.5,
      eventF1: 0.5,
      detectionDelayMs: 500,
    });
    // One false alarm in ten rows of half a second.
    expect(metrics.falseAlarmsPerDay).toBeCloseTo(86_400 / 5, 6);
    expect(metrics.vusPr).toBeGreaterThan(0);
    expect(metrics.vusPr).toBeLessThan(1);
  });

  it('allows an alarm as late as the last window that holds a faulty row', () => {
    const late = { ...answer, alarms: Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0) };
    expect(qualityOf(trial, [late], SHAPE)).toMatchObject({
      eventPrecision: 1,
      eventRecall: 0.5,
      detectionDelayMs: 1_500,
    });
    expect(qualityOf(trial, [late], { ...SHAPE, window: 2 })).toMatchObject({ eventPrecision: 0, eventRecall: 0 });
  });

  it('is only false alarms where nothing is labelled, and nothing where there are no recordings', () => {
    const calm = { ...trial, items: [{ recording: { ...recording, labels: new Uint8Array(12) } }] };
    expect(qualityOf(calm, [answer], SHAPE)).toEqual({
      measuredOn: 'labelled',
      far: 0.3,
      falseAlarmsPerDay: 2 * 17_280,
    });
    expect(qualityOf({ ...trial, items: [] }, [], SHAPE)).toEqual({});
  });

  it('compares decisions row by row, of what both have decided', () => {
    const other = {
      ...answer,
      alarms: answer.alarms.map((alarm, row) => (row === 4 || row === 0 ? 1 - alarm : alarm)),
      from: 4,
    };
    expect(agreementOn([answer], [other])).toBe(7 / 8);
    expect(agreementOn([], [])).toBe(1);
  });
});

describe('held-out rows with faults', () => {
  it('follow rows that do not count and stay as they were', () => {
    const normal = machineRecording(600, 1);
    const from = heldOutFrom(600);
    expect(from).toBe(480);
    const items = faultyHoldOuts([{ recording: normal, from }], 50, seededRandom(1));
    expect(items.length).toBeGreaterThan(10);
    for (const { recording: item, fromRow } of items) {
      expect(fromRow).toBe(50);
      expect(item.rows).toBe(170);
      expect(item.values.subarray(0, 200)).toEqual(normal.values.subarray(430 * 4, 480 * 4));
      expect(item.labels.subarray(0, 50).includes(1)).toBe(false);
      expect(item.labels.includes(1)).toBe(true);
    }
    // Each copy has other faults.
    expect(items[0]!.recording.values).not.toEqual(items[1]!.recording.values);
  });

  it('are none where too few could be held out, and bounded where there are many', () => {
    expect(heldOutFrom(100)).toBe(100);
    expect(faultyHoldOuts([{ recording: machineRecording(100, 1), from: 100 }], 10, seededRandom(1))).toEqual([]);
    const long = faultyHoldOuts([{ recording: machineRecording(20_000, 1), from: 0 }], 10, seededRandom(1), 6_000);
    expect(long.map(({ recording: item }) => item.rows)).toEqual([6_000]);
  });
});

describe('long labelled recordings', () => {
  const item = {
    recording: machineRecording(4_000, 1, [
      { channel: 1, fromRow: 1_000, toRow: 1_100, offset: 50 },
      { channel: 1, fromRow: 3_000, toRow: 3_100, offset: 50 },
    ]),
    fromRow: 200,
  };

  it('are left alone where they are not too long', () => {
    expect(boundedItems([item], 3_800, 10)).toEqual({ items: [item], cut: false });
  });

  it('lend a stretch with about as much labelled as the whole', () => {
    const { items, cut } = boundedItems([item], 1_000, 10);
    expect(cut).toBe(true);
    const [{ recording: stretch, fromRow = 0 }] = items as [(typeof items)[0]];
    expect(fromRow).toBe(10);
    expect(stretch.rows).toBe(1_010);
    const share = stretch.labels.subarray(fromRow).reduce((sum, label) => sum + label, 0) / 1_000;
    expect(share).toBeGreaterThan(0.02);
    expect(share).toBeLessThan(0.11);
  });
});
