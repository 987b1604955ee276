import { array, assert, constantFrom, float, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { machineRecording } from '../machine.fixture.ts';
import { seededRandom } from '../random.ts';
import { injectRecordingFaults, RECORDING_FAULT_KINDS } from './recording-faults.ts';

const normal = machineRecording(3_000, 1);

describe('faults in a recording', () => {
  const faulty = injectRecordingFaults(normal, seededRandom(1));

  it('are intervals of every kind with normal stretches between them', () => {
    expect(new Set(faulty.faults.map(({ kind }) => kind))).toEqual(new Set(RECORDING_FAULT_KINDS));
    for (const [i, { from, to, channels }] of faulty.faults.entries()) {
      expect(to - from).toBeGreaterThanOrEqual(16);
      expect(to - from).toBeLessThanOrEqual(96);
      expect(channels.length).toBeGreaterThan(0);
      expect(channels.length).toBeLessThanOrEqual(2);
      if (i > 0) expect(from - faulty.faults[i - 1]!.to).toBeGreaterThan(16);
    }
    expect(faulty.faults[0]!.from).toBeGreaterThanOrEqual(32);
    const share = faulty.labels.reduce((sum, label) => sum + label, 0) / faulty.rows;
    expect(share).toBeGreaterThan(0.12);
    expect(share).toBeLessThan(0.28);
  });

  it('are labelled, and nothing else is changed', () => {
    const before = machineRecording(3_000, 1);
    expect(normal.values).toEqual(before.values);
    const changed = new Set<number>();
    for (const [i, value] of faulty.values.entries()) {
      if (value !== normal.values[i]) changed.add(Math.floor(i / 4));
    }
    for (const row of changed) expect(faulty.labels[row]).toBe(1);
    for (const { from, to } of faulty.faults) {
      expect(Array.from({ length: to - from }, (_, k) => changed.has(from + k))).toContain(true);
    }
  });

  it('have the sizes asked for', () => {
    const steps = injectRecordingFaults(normal, seededRandom(4), { kinds: ['step'], smallest: 3, largest: 3 });
    expect(steps.faults.length).toBeGreaterThan(3);
    for (const { from, channels, size } of steps.faults) {
      expect(Math.abs(size)).toBe(3);
      const at = from * 4 + channels[0]!;
      const deviation = [0.5, 8.2, 0.19, 0.7][channels[0]!]!;
      // Of the fixture's channels, wandering included.
      expect(Math.abs(steps.values[at]! - normal.values[at]!) / deviation).toBeGreaterThan(2);
    }
  });

  it('are the same for the same seed and leave a recording that does not vary as it is', () => {
    expect(injectRecordingFaults(normal, seededRandom(7))).toEqual(injectRecordingFaults(normal, seededRandom(7)));
    const still = { ...normal, values: new Float32Array(normal.values.length).fill(2) };
    const { faults, values, labels } = injectRecordingFaults(still, seededRandom(1));
    expect(faults).toEqual([]);
    expect(values).toEqual(still.values);
    expect(labels.includes(1)).toBe(false);
  });

  it('never break on odd recordings: short, of one channel, with missing values', () => {
    const value = constantFrom(Number.NaN, 0, 1, 2, 5e30, -3);
    assert(
      property(array(value, { maxLength: 120 }), integer({ min: 1, max: 3 }), float(), (list, width, seed) => {
        const rows = Math.floor(list.length / width);
        const recording = {
          channels: ['a', 'b', 'c'].slice(0, width),
          rows,
          values: Float32Array.from(list.slice(0, rows * width)),
        };
        const { values, faults, labels } = injectRecordingFaults(recording, seededRandom(Math.trunc(seed) || 1));
        expect(values.length).toBe(rows * width);
        for (const [i, was] of recording.values.entries()) {
          if (Number.isNaN(was)) expect(values[i]).toBeNaN();
        }
        const labelled = labels.reduce((sum, label) => sum + label, 0);
        expect(labelled).toBe(faults.reduce((sum, { from, to }) => sum + to - from, 0));
        if (rows > 0) expect(labelled).toBeLessThan(rows);
      }),
    );
  });
});
