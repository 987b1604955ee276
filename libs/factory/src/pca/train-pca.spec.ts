import { encodeModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { scoreWindows } from '../detector-session.ts';
import { InvalidTrainingOptionsError, NotEnoughDataError, UnusableDataError } from '../errors.ts';
import { FIXTURE_SHAPE, machineRecording } from '../machine.fixture.ts';
import { quantileOfSorted } from '../quantile.ts';
import { selectWindows, windowsOf } from '../window-set.ts';
import type { WindowSet } from '../window-set.ts';
import { combinedIndex } from './combined-index.fixture.ts';
import { addScatter, fitComponents, fitNormaliser, normalise } from './pca-model.ts';
import { largestPcaWindow, MAX_PCA_DIMENSIONS, trainPca } from './train-pca.ts';

const normal = windowsOf([machineRecording(600, 1)], FIXTURE_SHAPE);
const unseen = windowsOf([machineRecording(400, 2)], FIXTURE_SHAPE);

/** The windows of 60 rows in which one channel is off. */
function faulty(channel: number, offset: number): WindowSet {
  const fault = { channel, fromRow: 0, toRow: 60, offset };
  return windowsOf([machineRecording(60, 3, [fault])], FIXTURE_SHAPE);
}

function strongest(contributions: Float32Array, channels: number): number[] {
  return Array.from({ length: contributions.length / channels }, (_, n) => {
    const row = contributions.subarray(n * channels, (n + 1) * channels);
    return row.indexOf(Math.max(...row));
  });
}

describe('windowed principal components', () => {
  const detector = trainPca(normal);
  const model = encodeModel(detector.graph);

  it('leave unseen normal windows under the threshold', async () => {
    const { score } = await scoreWindows(model, unseen);
    const over = score.filter((value) => value >= detector.policy.threshold).length;
    expect(over / score.length).toBeLessThan(0.02);
  });

  it('notice a value that is ordinary by itself but does not fit the others, and name its channel', async () => {
    // 0.3 A is one and a half times the current's deviation; flow and pressure say that the load did not change.
    const windows = faulty(2, 0.3);
    const { score, contributions } = await scoreWindows(model, windows);
    expect(Math.min(...score)).toBeGreaterThan(detector.policy.threshold);
    expect(strongest(contributions, 4).filter((channel) => channel === 2).length / windows.count).toBeGreaterThan(0.95);
  });

  it('give contributions that are never negative and add up to the square of the score', async () => {
    const { score, contributions } = await scoreWindows(model, faulty(1, 20));
    for (const [n, value] of score.entries()) {
      const parts = contributions.subarray(n * 4, (n + 1) * 4);
      expect(Math.min(...parts)).toBeGreaterThanOrEqual(0);
      expect(parts.reduce((sum, part) => sum + part, 0) / value ** 2).toBeCloseTo(1, 4);
    }
  });

  it('are exported exactly: the graph gives T² and Q as computed from their definition', async () => {
    const dimensions = normal.window * normal.channels;
    const all = Array.from({ length: normal.count }, () => true);
    const normaliser = fitNormaliser(normal, all, 6);
    const z = normalise(normal, normaliser);
    const scatter = new Float64Array(dimensions * dimensions);
    addScatter(z, dimensions, [0, normal.count], all, scatter);
    const { pca } = fitComponents(scatter, normal.count, dimensions, 0.95);
    const expected = combinedIndex(normalise(unseen, normaliser), [0, unseen.count], pca);
    const { score } = await scoreWindows(model, unseen);
    const unit = expected[0]! / score[0]!;
    for (const [n, value] of expected.entries()) expect(score[n]! * unit).toBeCloseTo(value, 4);
  });

  it('scale the score so that 1 is a high quantile of held-out normal windows', () => {
    expect(quantileOfSorted(detector.heldOutScores, 0.95)).toBeCloseTo(1, 10);
  });

  it('do not let one wild channel grow without bound', async () => {
    const { score } = await scoreWindows(model, faulty(0, 1e12));
    expect(Math.max(...score)).toBeLessThan(100);
    expect(Math.min(...score)).toBeGreaterThan(detector.policy.threshold);
  });

  it('are the same for the same data', () => {
    expect(encodeModel(trainPca(normal).graph)).toEqual(model);
  });

  it('set contaminated training windows aside, and still find that fault afterwards', async () => {
    const fault = { channel: 2, fromRow: 200, toRow: 240, offset: 0.5 };
    const contaminated = windowsOf([machineRecording(600, 1, [fault])], FIXTURE_SHAPE);
    const robust = trainPca(contaminated);
    const naive = trainPca(contaminated, { maxContamination: 0 });
    const aside = robust.normal.flatMap((flag, n) => (flag ? [] : [n]));
    expect(aside.length).toBeGreaterThan(30);
    expect(aside.every((n) => n >= 190 && n < 245)).toBe(true);
    const detected = async (trained: typeof robust): Promise<number> => {
      const { score } = await scoreWindows(encodeModel(trained.graph), faulty(2, 0.4));
      return score.filter((value) => value >= trained.policy.threshold).length / score.length;
    };
    expect(await detected(robust)).toBe(1);
    expect(await detected(naive)).toBeLessThan(0.5);
  });

  it('drop a channel that never changes, even where it changes later', async () => {
    const still = Float32Array.from(normal.data, (value, i) => (i % 4 === 3 ? 61.3 : value));
    const trained = trainPca({ ...normal, data: still });
    expect(trained.constantChannels).toEqual([3]);
    const { score, contributions } = await scoreWindows(encodeModel(trained.graph), unseen);
    expect(score.every(Number.isFinite)).toBe(true);
    expect(Math.max(...contributions.filter((_, i) => i % 4 === 3))).toBeLessThan(1e-12);
  });

  it('cope with one channel and one sample, and with large offsets', async () => {
    const single = windowsOf(
      [{ channels: ['a'], rows: 200, values: machineRecording(50, 4).values.map((value) => value + 1e6) }],
      { ...FIXTURE_SHAPE, window: 1 },
    );
    const trained = trainPca(single);
    const { score } = await scoreWindows(encodeModel(trained.graph), single);
    expect(score.every(Number.isFinite)).toBe(true);
  });

  it('train on a thousand rows of eight channels in a fraction of a second', () => {
    const one = machineRecording(1_000, 5).values;
    const two = machineRecording(1_000, 6).values;
    const values = Float32Array.from({ length: 8_000 }, (_, i) => (i % 8 < 4 ? one : two)[(i >> 3) * 4 + (i & 3)]!);
    const set = windowsOf([{ channels: [...'abcdefgh'], rows: 1_000, values }], { ...FIXTURE_SHAPE, window: 16 });
    const start = performance.now();
    trainPca(set);
    expect(performance.now() - start).toBeLessThan(2_000);
  });
});

describe('data that cannot be trained on', () => {
  it('is refused with the reason', () => {
    expect(() => trainPca(selectWindows(normal, [0, 1, 2]))).toThrow(NotEnoughDataError);
    expect(() => trainPca({ ...normal, data: normal.data.map(() => 7) })).toThrow(UnusableDataError);
    expect(() => trainPca(normal, { explainedVariance: 1 })).toThrow(InvalidTrainingOptionsError);
    const wide = { ...normal, window: 300, channels: 2 };
    expect(() => trainPca(wide)).toThrow(/use a window of 256/);
  });

  it('is avoided by the window that is proposed', () => {
    for (const channels of [1, 8, 33, 256, 600]) {
      expect(largestPcaWindow(channels)).toBeGreaterThanOrEqual(1);
      expect(largestPcaWindow(channels)).toBeLessThanOrEqual(16);
      if (channels <= MAX_PCA_DIMENSIONS) expect(largestPcaWindow(channels) * channels).toBeLessThanOrEqual(512);
    }
  });
});
