import { describe, expect, it } from 'vitest';
import { FIXTURE_SHAPE, machineRecording } from '../machine.fixture.ts';
import { seededRandom } from '../random.ts';
import { windowsOf } from '../window-set.ts';
import { agreementOf, alarmsOf, countsOf } from './replay.ts';
import { injectFaults } from './synthetic-faults.ts';

const POLICY = { kind: 'threshold', threshold: 1, releaseRatio: 0.5, minLength: 1 } as const;

describe('alarms over a recording', () => {
  const scored = {
    ends: Int32Array.of(2, 4, 6, 8),
    restarts: new Int32Array(0),
    scores: Float32Array.of(0, 2, 0.6, 0.1),
    signals: 1,
  };

  it('hold between windows, with hysteresis', () => {
    expect([...alarmsOf(scored, 10, POLICY)]).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 0, 0]);
  });

  it('end where the stream starts anew', () => {
    const gap = { ...scored, restarts: Int32Array.of(6) };
    expect([...alarmsOf(gap, 10, POLICY)]).toEqual([0, 0, 0, 0, 1, 1, 0, 0, 0, 0]);
  });

  it('never depend on what comes later', () => {
    const whole = alarmsOf(scored, 10, POLICY);
    for (let k = 1; k <= 10; k += 1) expect(alarmsOf(scored, k, POLICY)).toEqual(whole.subarray(0, k));
  });

  it('start without memory of the rows that do not count', () => {
    expect([...alarmsOf(scored, 10, POLICY, 5)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('are counted from the first row that a window reaches', () => {
    const recording = { channels: ['a'], rows: 10, values: new Float32Array(10), labels: new Uint8Array(10).fill(1) };
    expect(countsOf(scored, { recording }, POLICY)).toEqual({
      truePositives: 4,
      falseNegatives: 4,
      falsePositives: 0,
      trueNegatives: 0,
    });
  });

  it('agree by share of rows', () => {
    expect(agreementOf(Uint8Array.of(0, 1, 1, 0), Uint8Array.of(0, 1, 0, 0))).toBe(0.75);
    expect(agreementOf(Uint8Array.of(0, 1), Uint8Array.of(1, 1), 1)).toBe(1);
  });
});

describe('synthetic faults', () => {
  const normal = windowsOf([machineRecording(120, 1)], FIXTURE_SHAPE);

  it('change every window and leave the originals alone', () => {
    const before = Float32Array.from(normal.data);
    const faulty = injectFaults(normal, seededRandom(1));
    expect(normal.data).toEqual(before);
    const size = normal.window * normal.channels;
    for (let n = 0; n < normal.count; n += 1) {
      const [from, to] = [n * size, (n + 1) * size];
      expect(faulty.data.subarray(from, to)).not.toEqual(normal.data.subarray(from, to));
    }
  });

  it('are the same for the same seed', () => {
    expect(injectFaults(normal, seededRandom(5))).toEqual(injectFaults(normal, seededRandom(5)));
    expect(injectFaults(normal, seededRandom(5))).not.toEqual(injectFaults(normal, seededRandom(6)));
  });
});
