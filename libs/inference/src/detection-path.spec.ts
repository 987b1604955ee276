import type { AnomalyUpdate, DetectorSignature, PolicySpec } from '@drover/detection';
import { beforeEach, describe, expect, it } from 'vitest';
import type { PathFault } from './decision-stage.ts';
import { DetectionPath } from './detection-path.ts';
import type { PathOptions, PathState } from './detection-path.ts';
import { DetectorSession } from './detector-session.ts';
import { SignatureMismatchError } from './errors.ts';
import { runtime, sampleDetector, sampleSignature } from './sample-detector.fixture.ts';
import type { SampleDetectorOptions } from './sample-detector.fixture.ts';

const policy: PolicySpec = { kind: 'threshold', threshold: 10, releaseRatio: 0.5, minLength: 2 };

const tail: PolicySpec = {
  kind: 'tail',
  threshold: 2,
  tailShare: 0.05,
  cap: 12,
  refractoryShare: 0.06,
  clearRatio: 1.3,
  horizonRows: 10_000,
};

let updates: AnomalyUpdate[];
let faults: PathFault[];
let decided: number[];
beforeEach(() => {
  updates = [];
  faults = [];
  decided = [];
});

async function open(
  signature: DetectorSignature,
  model: SampleDetectorOptions = {},
  changes: Partial<PathOptions> = {},
): Promise<DetectionPath> {
  const shape = { window: signature.window, channels: signature.channels.length };
  const session = await DetectorSession.open(runtime, sampleDetector({ ...shape, ...model }), signature, {
    providers: [],
  });
  let ids = 0;
  return new DetectionPath({
    session,
    signature,
    policy,
    sourceChannels: ['b', 'label', 'a'],
    newId: () => `a${(ids += 1)}`,
    listener: {
      onAnomaly: (update) => updates.push(update),
      onFault: (fault) => faults.push(fault),
      onDecision: (_, decision) => decided.push(decision.compared),
    },
    ...changes,
  });
}

/** A sample per second: `a` as given, `b` the same, and something beside that no model has asked for. */
async function feed(path: DetectionPath, values: readonly number[], fromS = 0): Promise<void> {
  for (const [i, value] of values.entries()) {
    const step = path.accept((fromS + i) * 1_000, [value, 1e6, value]);
    if (step !== 'none') await path.score(step);
  }
}

const single = sampleSignature({ window: 1 });

/** What a path remembers in the middle of an anomaly. */
async function interrupted(model: SampleDetectorOptions = {}): Promise<PathState> {
  const path = await open(single, model);
  await feed(path, [1, 9, 9]);
  updates = [];
  decided = [];
  return structuredClone(path.exportState());
}

describe('the path from sample to decision', () => {
  it('takes the channels by name and leaves out the others', async () => {
    const path = await open(single);
    path.accept(0, [3, 1e6, 4]);
    await path.score('ready');
    expect(decided).toEqual([12.5]);
  });

  it('refuses samples that lack a channel', async () => {
    const failure = open(single, {}, { sourceChannels: ['b', 'c'] });
    await expect(failure).rejects.toThrow(SignatureMismatchError);
    await expect(failure).rejects.toThrow('The samples have no channel "a"');
  });

  it('opens and closes an anomaly, with the share of each channel', async () => {
    const path = await open(single);
    for (const [i, [a, b]] of [
      [1, 1],
      [6, 2],
      [9, 3],
      [1, 1],
    ].entries()) {
      await path.score(path.accept(i * 1_000, [b!, 0, a!]));
    }
    expect(updates.map(({ change }) => change)).toEqual(['opened', 'closed']);
    expect(updates[1]!.anomaly).toMatchObject({
      id: 'a1',
      startedAt: 1_000,
      endedAt: 3_000,
      peakScore: 45,
      windows: 2,
    });
    expect(updates[1]!.anomaly.contributions).toEqual([
      { channel: 'a', share: 0.9 },
      { channel: 'b', share: expect.closeTo(0.1) },
    ]);
  });

  it('decides on several signals: the largest with a fixed threshold, all with running probabilities', async () => {
    const two = { twoSignals: true } as const;
    const path = await open(single, two);
    await feed(path, [2, 12, -20]);
    expect(decided).toEqual([4, 144, 400]);
    decided = [];
    const running = await open(single, two, { policy: { ...tail, threshold: 3 } });
    await feed(running, [...Array.from({ length: 300 }, (_, i) => Math.sin(i)), 50, 0]);
    expect(decided.at(-2)).toBeGreaterThan(3);
    expect(decided.at(-1)).toBeLessThan(1);
    expect(updates.at(-1)).toMatchObject({ change: 'closed', anomaly: { threshold: 3, startedAt: 300_000 } });
  });

  it('names the signal that is no number', async () => {
    const path = await open(single, { twoSignals: true, gain: 1e30 });
    await feed(path, [1e10]);
    expect(faults).toMatchObject([{ code: 'score-invalid', message: 'Signal 0 is Infinity' }]);
    expect(path.counters).toMatchObject({ windows: 0, invalidScores: 1 });
  });

  it('does not act on scores while it warms up', async () => {
    const path = await open(sampleSignature({ window: 1, warmup: 3 }));
    await feed(path, [9, 9, 9, 9, 9]);
    expect(decided).toHaveLength(2);
    expect(path.refillRows).toBe(4);
  });

  it('closes what is open at a gap, and starts anew', async () => {
    const path = await open(sampleSignature({ window: 2 }));
    await feed(path, [9, 9, 9, 9]);
    await feed(path, [9, 9], 60);
    expect(updates.map(({ change, reason }) => [change, reason])).toEqual([
      ['opened', null],
      ['closed', 'gap'],
    ]);
    expect(updates[1]!.anomaly.endedAt).toBe(3_000);
    expect(path.counters).toMatchObject({ samples: 6, windows: 4, restarts: 1 });
  });

  it('never makes an anomaly of a score that is no number, and reports it once', async () => {
    // Values beyond 1e19 square to infinity in float32.
    const path = await open(single);
    await feed(path, [1, 1e20, 1e20, 1e20, 1, 1e20]);
    expect(updates).toEqual([]);
    expect(decided).toEqual([1, 1]);
    expect(faults.map(({ code, timeMs }) => [code, timeMs])).toEqual([
      ['score-invalid', 1_000],
      ['score-invalid', 5_000],
    ]);
    expect(path.counters.invalidScores).toBe(4);
  });

  it('ends an anomaly only when invalid scores last', async () => {
    const path = await open(single);
    await feed(path, [9, 9, 1e20, 1e20, 9]);
    expect(updates).toHaveLength(1);
    await feed(
      path,
      Array.from({ length: 8 }, () => 1e20),
      5,
    );
    expect(updates.at(-1)).toMatchObject({ change: 'closed', reason: 'gap' });
  });

  it('throws away state that an invalid score came from', async () => {
    const path = await open(single, { stateful: true });
    // Finite as a sample, but the level becomes infinite minus something: the next would be NaN for ever.
    await feed(path, [1, 3e38, 3e38, 1, 1, 1, 1]);
    expect(decided.at(-1)).toBeLessThan(0.1);
  });

  it('thins out samples of a source that is faster than the model', async () => {
    const path = await open(single, {}, { sourceRateHz: 4 });
    for (let i = 0; i < 12; i += 1) {
      const step = path.accept(i * 250, [i, 0, i]);
      if (step !== 'none') await path.score(step);
    }
    expect(decided).toEqual([9, 49, 121]);
  });

  it('is as far after a refill as one that saw the samples itself', async () => {
    for (const model of [{}, { stateful: true }]) {
      decided = [];
      const signature = sampleSignature({ window: 3, warmup: 2 });
      const history = [1, 2, 3, 4, 2];
      const seen = await open(signature, model);
      await feed(seen, history);
      decided = [];
      await feed(seen, [5], 5);
      const refilled = await open(signature, model);
      expect(refilled.refillRows).toBe(5);
      const rows = await refilled.refill(async (visit) => {
        for (const [i, value] of history.entries()) await visit(i * 1_000, [value, 0, value], 0);
        return history.length;
      });
      expect(rows).toBe(5);
      await feed(refilled, [5], 5);
      expect(decided).toHaveLength(2);
      expect(decided[1]).toBeCloseTo(decided[0]!);
    }
    expect(updates).toEqual([]);
  });

  describe('brought back from its state', () => {
    it('goes on with the same anomaly', async () => {
      const path = await open(single, {}, { state: await interrupted() });
      await feed(path, [9, 1], 3);
      expect(updates).toMatchObject([{ change: 'closed', reason: 'released', anomaly: { id: 'a1', windows: 3 } }]);
    });

    it('closes it where it was when the machine was off for longer than a gap', async () => {
      const path = await open(single, {}, { state: await interrupted() });
      await feed(path, [9, 9, 9], 3_600);
      expect(updates.map(({ change, reason }) => [change, reason])).toEqual([
        ['closed', 'gap'],
        ['opened', null],
      ]);
      expect(updates[0]!.anomaly.endedAt).toBe(2_000);
    });

    it('does not let a refill disturb state or anomaly', async () => {
      const model = { stateful: true };
      const whole = await open(single, model);
      await feed(whole, [1, 9, 9, 7]);
      const expected = decided.at(-1);
      const path = await open(single, model, { state: await interrupted(model) });
      await path.refill(async (visit) => {
        for (const [i, second] of [-60, 1, 2].entries()) await visit(second * 1_000, [i, 0, i], 0);
        return 3;
      });
      await feed(path, [7], 3);
      expect(decided).toEqual([expected]);
      expect(updates.filter(({ reason }) => reason === 'gap')).toEqual([]);
    });

    it('keeps a running history, so that what was usual stays so', async () => {
      const usual = Array.from({ length: 200 }, (_, i) => 1 + (i % 7) / 10);
      const path = await open(single, {}, { policy: tail });
      await feed(path, usual);
      const state = structuredClone(path.exportState());
      decided = [];
      await feed(path, [1.4, 9], 200);
      const expected = decided;
      decided = [];
      await feed(await open(single, {}, { policy: tail, state }), [1.4, 9], 200);
      expect(decided).toEqual(expected);
      decided = [];
      await feed(await open(single, {}, { policy: tail }), [1.4, 9], 200);
      expect(decided).not.toEqual(expected);
    });

    it('begins anew with a policy of another kind', async () => {
      const path = await open(
        single,
        {},
        { policy: tail, state: { ...(await interrupted()), tracker: { episode: null } } },
      );
      await feed(path, [9, 1], 3);
      expect(updates).toEqual([]);
      expect(path.exportState().policy.kind).toBe('tail');
    });

    it('lets a model whose own state is gone see the samples before', async () => {
      const model = { stateful: true };
      const whole = await open(single, model);
      await feed(whole, [1, 9, 9, 7]);
      const expected = decided.at(-1);
      const state = { ...(await interrupted(model)), detector: {} };
      const path = await open(single, model, { state });
      await path.refill(async (visit) => {
        for (const [i, value] of [1, 9, 9].entries()) await visit(i * 1_000, [value, 0, value], 0);
        return 3;
      });
      await feed(path, [7], 3);
      expect(decided).toEqual([expected]);
    });
  });
});
