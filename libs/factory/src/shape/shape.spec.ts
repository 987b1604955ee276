import { decisionPolicySchema } from '@drover/contracts';
import { encodeModel } from '@drover/onnx';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { trainFamily } from '../families.ts';
import { withSession } from '../detector-session.ts';
import type { TrainedDetector } from '../detector.ts';
import { InvalidTrainingOptionsError, NotEnoughDataError } from '../errors.ts';
import { seededRandom } from '../random.ts';
import type { Recording } from '../window-set.ts';
import { priorOf } from './tail-prior.ts';
import { ShapeReference } from './shape-reference.fixture.ts';

const sampling = { stride: 1, rateHz: 1, maxGapMs: 10_000 };

/** A wave with noise per channel. */
function waves(rows: number, channels: number, seed: number): Recording {
  const random = seededRandom(seed);
  const values = Float32Array.from({ length: rows * channels }, (_, i) => {
    const row = Math.floor(i / channels);
    return 50 * (1 + (i % channels)) + 10 * Math.sin(row / (4 + (i % channels))) + 2 * random();
  });
  return { channels: Array.from({ length: channels }, (_, c) => `c${c}`), rows, values };
}

interface Run {
  readonly score: number[][];
  readonly contributions: number[][];
}

/** Window by window with the state kept, as on a device. */
function run({ graph, shape, trainedOn }: TrainedDetector, recording: Recording): Promise<Run> {
  const size = shape.window * trainedOn.channels;
  return withSession(encodeModel(graph), async (session) => {
    const dims = new Map(session.inputMetadata.flatMap((v) => (v.isTensor ? [[v.name, v.shape as number[]]] : [])));
    const state: Record<string, ort.Tensor> = {};
    for (const name of session.inputNames.filter((n) => n.startsWith('state.'))) {
      state[name] = new ort.Tensor(
        'float32',
        new Float32Array(dims.get(name)!.reduce((a, b) => a * b, 1)),
        dims.get(name)!,
      );
    }
    const result: Run = { score: [], contributions: [] };
    for (let at = 0; at + size <= recording.values.length; at += shape.stride * trainedOn.channels) {
      const window = new ort.Tensor('float32', recording.values.slice(at, at + size), [
        1,
        shape.window,
        trainedOn.channels,
      ]);
      const outputs = await session.run({ window, ...state });
      result.score.push([...(outputs['score']!.data as Float32Array)]);
      result.contributions.push([...(outputs['contributions']!.data as Float32Array)]);
      for (const name of Object.keys(state)) state[name] = outputs[`${name}.next`] as ort.Tensor;
    }
    return result;
  });
}

function train(name: string, recording: Recording, options: object = {}, stride = 1): Promise<TrainedDetector> {
  return trainFamily({ name, options: { ...options } }, { ...sampling, stride, recordings: [recording] }, { seed: 1 });
}

describe('the shape detector', () => {
  it.each([
    { channels: 1, stride: 1 },
    { channels: 3, stride: 1 },
    { channels: 40, stride: 1 },
    { channels: 2, stride: 3 },
  ])('scores as its reference does: $channels channels, stride $stride', async ({ channels, stride }) => {
    const training = waves(300, channels, 1);
    const detector = await train('shape', training, { memorySamples: 96, trainingSamples: 128 }, stride);
    const recording = waves(250, channels, 2);
    const reference = new ShapeReference(training, { ...sampling, stride }, { memory: 96, training: 128 });
    const { score, contributions } = await run(detector, recording);
    expect(score.length).toBe(Math.floor((250 - stride) / stride) + 1);
    for (const [n, row] of score.entries()) {
      const expected = reference.next(recording.values.subarray(n * stride * channels, (n + 1) * stride * channels));
      expect(Math.abs(row[0]! - expected.score)).toBeLessThan(1e-4 * (1 + expected.score));
      for (const [c, part] of contributions[n]!.entries()) {
        expect(Math.abs(part - expected.contributions[c]!)).toBeLessThan(1e-4 * (1 + expected.contributions[c]!));
      }
    }
  });

  it('finds a shape that was never there, though all its values were', async () => {
    const recording = waves(900, 1, 3);
    recording.values.subarray(700, 716).reverse();
    const { score } = await run(await train('shape', waves(500, 1, 4)), recording);
    const before = score.slice(100, 700).map(([s]) => s!);
    expect(Math.max(...score.slice(700, 720).map(([s]) => s!))).toBeGreaterThan(2 * Math.max(...before));
  });

  it('knows a new shape once it came before', async () => {
    const recording = waves(900, 1, 5);
    for (const at of [300, 600]) for (let i = 0; i < 16; i += 1) recording.values[at + i] = i % 2 === 0 ? 90 : 30;
    const { score } = await run(await train('shape', waves(500, 1, 6)), recording);
    const worst = (from: number): number => Math.max(...score.slice(from, from + 16).map(([s]) => s!));
    expect(worst(600)).toBeLessThan(worst(300) / 2);
  });

  it('stores pieces of a long recording, and names the channel that is off', async () => {
    const detector = await train('shape', waves(30_000, 2, 7));
    expect(detector.summary).toMatchObject({ span: 8 });
    expect(detector.summary['samples']).toBeLessThan(1_100);
    const recording = waves(400, 2, 8);
    for (let row = 300; row < 308; row += 1) recording.values[2 * row + 1]! += 30;
    const { score, contributions } = await run(detector, recording);
    expect(score[307]![0]).toBeGreaterThan(1.5);
    expect(contributions[307]![1]).toBeGreaterThan(5 * contributions[307]![0]!);
  });

  it.each([
    ['never changes', () => 7],
    ['is always zero', () => 0],
    ['has two values', (row: number) => (row % 5 === 0 ? 1 : 0)],
  ])('trains on a channel that %s, and gives numbers for anything', async (_, valueOf) => {
    const values = Float32Array.from({ length: 200 }, (_item, row) => valueOf(row));
    const detector = await train('series', { channels: ['x'], rows: 200, values });
    const { score } = await run(detector, {
      channels: ['x'],
      rows: 6,
      values: new Float32Array([0, 7, 1e-30, 3e38, -3e38, 1]),
    });
    expect(score.flat().every(Number.isFinite)).toBe(true);
  });

  it('says what is wrong with data and options', async () => {
    await expect(train('shape', waves(40, 1, 1))).rejects.toThrow(NotEnoughDataError);
    await expect(train('value', waves(9, 1, 1))).rejects.toThrow(NotEnoughDataError);
    await expect(train('shape', waves(200, 1, 1), { span: 1 })).rejects.toThrow(InvalidTrainingOptionsError);
    await expect(train('shape', waves(200, 1, 1), { memorySamples: 8 })).rejects.toThrow(InvalidTrainingOptionsError);
  });
});

describe('the value detector', () => {
  it('gives the deviation with its sign of one channel, the largest of several', async () => {
    const one = await run(await train('value', waves(200, 1, 1)), {
      channels: ['c0'],
      rows: 2,
      values: new Float32Array([100, 0]),
    });
    expect(one.score[0]![0]).toBeGreaterThan(5);
    expect(one.score[1]![0]).toBeLessThan(-5);
    expect(one.contributions[1]![0]).toBe(-one.score[1]![0]!);
    const two = await run(await train('value', waves(200, 2, 1)), {
      channels: ['c0', 'c1'],
      rows: 1,
      values: new Float32Array([50, 0]),
    });
    expect(two.score[0]![0]).toBe(Math.max(...two.contributions[0]!));
    expect(two.contributions[0]![1]).toBeGreaterThan(10);
  });
});

describe('what a policy starts with', () => {
  it('leaves out what lies far outside the bulk', () => {
    const values = Float64Array.from({ length: 200 }, (_, i) => (i % 50 === 9 ? 40 : Math.sin(i)));
    const { history, setAside, limit } = priorOf(values);
    expect(setAside).toBe(4);
    expect(Math.max(...history.values)).toBeLessThan(1);
    expect(limit).toBeLessThan(5);
  });

  it('keeps all of a signal that seldom moves', () => {
    const { history, setAside } = priorOf(Float64Array.from({ length: 200 }, (_, i) => (i % 50 === 9 ? 40 : 0)));
    expect(setAside).toBe(0);
    expect(history).toEqual({ values: [0, 40], weights: [196, 4] });
  });
});

describe('shape and value together', () => {
  it('decide from the first row on by a policy that a manifest can carry', async () => {
    const detector = await train('series', waves(600, 1, 1));
    expect(decisionPolicySchema.parse(JSON.parse(JSON.stringify(detector.policy)))).toEqual(detector.policy);
    expect(detector.policy).toMatchObject({ kind: 'tail', sides: ['upper', 'both'] });
    expect(detector.stateReset).toBe('never');
    const { score } = await run(detector, waves(20, 1, 2));
    expect(score[0]).toHaveLength(2);
  });
});
