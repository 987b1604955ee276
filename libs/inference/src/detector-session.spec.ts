import { DataType, GraphBuilder, encodeModel } from '@drover/onnx';
import { modelSignatureSchema, thresholdPolicySchema } from '@drover/contracts';
import type { DetectorSignature, PolicySpec } from '@drover/detection';
import { describe, expect, it } from 'vitest';
import { DetectorSession } from './detector-session.ts';
import { DetectorContractError, SignatureMismatchError } from './errors.ts';
import { meanSquare, runtime, sampleDetector, sampleSignature } from './sample-detector.fixture.ts';

const cpu = { providers: ['cpu'] };
const window = [1, 2, 3, 4, 5, 6, 7, 8];

describe('a detector session', () => {
  it('scores a window into the same buffers every time', async () => {
    const session = await DetectorSession.open(runtime, sampleDetector(), sampleSignature(), cpu);
    const { score, contributions } = session;
    session.window.set(window);
    await session.run();
    expect(score[0]).toBeCloseTo(meanSquare(window));
    expect([...contributions]).toEqual([meanSquare([1, 3, 5, 7]), meanSquare([2, 4, 6, 8])]);
    session.window.fill(2);
    await session.run();
    expect([...session.score]).toEqual([4]);
    expect(session.score).toBe(score);
    await session.release();
  });

  it('applies a calibration, and none as the neutral one', async () => {
    const model = sampleDetector({ calibrated: true });
    const plain = await DetectorSession.open(runtime, model, sampleSignature(), cpu);
    plain.window.set(window);
    await plain.run();
    expect(plain.score[0]).toBeCloseTo(meanSquare(window));
    const calibration = { center: [1, 2], scale: [2, 0.5] };
    const own = await DetectorSession.open(runtime, model, sampleSignature(), { ...cpu, calibration });
    own.window.set([1, 2, 3, 2, 1, 3, 1, 2]);
    await own.run();
    expect([...own.contributions]).toEqual([1 / 4, 4 / 4]);
    expect(() => own.calibrate({ scale: [1] })).toThrow(SignatureMismatchError);
  });

  it('carries state from run to run, gives it away and takes it back', async () => {
    const model = sampleDetector({ stateful: true, window: 1, channels: 1 });
    const signature = sampleSignature({ window: 1 }, 1);
    const session = await DetectorSession.open(runtime, model, signature, cpu);
    const scores = async (values: number[]): Promise<number[]> => {
      const seen: number[] = [];
      for (const value of values) {
        session.window[0] = value;
        await session.run();
        seen.push(session.score[0]!);
      }
      return seen;
    };
    // The level goes 0, 4, 6, 7: half of the way each time.
    expect(await scores([8, 8, 8, 8])).toEqual([64, 16, 4, 1]);
    const state = session.exportState();
    expect([...state['level']!]).toEqual([7.5]);
    expect(await scores([8])).toEqual([0.25]);
    session.resetState();
    expect(await scores([8, 8])).toEqual([64, 16]);
    expect(session.importState(state)).toBe(true);
    expect(await scores([8])).toEqual([0.25]);
    expect(session.importState({ level: new Float32Array(3) })).toBe(false);
    expect(await scores([8])).toEqual([64]);
  });

  it('scores many windows in one run where the graph can', async () => {
    const session = await DetectorSession.open(runtime, sampleDetector(), sampleSignature(), { ...cpu, batch: 3 });
    session.window.set([...window, ...window.map((x) => x * 2), ...window.map(() => 1)]);
    await session.run();
    expect([...session.score]).toEqual([meanSquare(window), 4 * meanSquare(window), 1]);
    const stateful = sampleDetector({ stateful: true });
    expect((await DetectorSession.open(runtime, stateful, sampleSignature(), { ...cpu, batch: 3 })).batch).toBe(1);
  });

  it('takes signatures and policies as manifests carry them', () => {
    const signature: DetectorSignature = modelSignatureSchema.parse({
      ...sampleSignature(),
      channels: [{ name: 'a', unit: 'A' }],
    });
    const policy: PolicySpec = thresholdPolicySchema.parse({
      kind: 'threshold',
      threshold: 1,
      releaseRatio: 0.5,
      minLength: 1,
    });
    expect([signature.channels[0]!.resampling, policy.kind]).toEqual(['last', 'threshold']);
  });
});

/** A graph with these inputs and outputs and nothing sensible between them. */
function graphWith(
  inputs: Record<string, (number | string)[]>,
  outputs: Record<string, (number | string)[]>,
  type: DataType = DataType.FLOAT,
): Uint8Array {
  const graph = new GraphBuilder('odd');
  for (const [name, dims] of Object.entries(inputs)) graph.input(name, type, dims);
  for (const [name, dims] of Object.entries(outputs)) {
    const from = graph.initializer(`${name}_shape`, {
      dims: [dims.length],
      dataType: DataType.INT64,
      int64Data: [],
      floatData: [],
      int32Data: [],
      stringData: [],
      doubleData: [],
      uint64Data: [],
      externalData: [],
      rawData: new Uint8Array(BigInt64Array.from(dims, (d) => BigInt(typeof d === 'number' ? d : 1)).buffer),
    });
    graph.node('ConstantOfShape', [from], {}, { outputs: [name] });
    graph.output(name, DataType.FLOAT, dims);
  }
  return encodeModel(graph.build());
}

describe('the detector contract', () => {
  const good = { score: ['N', 1], contributions: ['N', 2] };

  it.each<[string, Uint8Array, RegExp]>([
    ['a missing window', graphWith({ x: ['N', 4, 2] }, good), /input window is missing; input x is not part/],
    [
      'a window of another size',
      graphWith({ window: ['N', 5, 2] }, good),
      /input window has shape \[N, 5, 2\], must be \[N, 4, 2\]/,
    ],
    ['a window of another rank', graphWith({ window: ['N', 8] }, good), /input window has shape \[N, 8\]/],
    [
      'a window of integers',
      graphWith({ window: ['N', 4, 2] }, good, DataType.INT32),
      /input window is int32, must be float32/,
    ],
    ['a missing score', graphWith({ window: ['N', 4, 2] }, { contributions: ['N', 2] }), /output score is missing/],
    [
      'contributions of another size',
      graphWith({ window: ['N', 4, 2] }, { ...good, contributions: ['N', 3] }),
      /output contributions has shape/,
    ],
    ['a mask of another size', graphWith({ window: ['N', 4, 2], mask: ['N', 4] }, good), /input mask has shape/],
    [
      'state that does not come back',
      graphWith({ window: [1, 4, 2], 'state.h': [1, 3] }, good),
      /output state.h.next is missing/,
    ],
    [
      'too much state',
      graphWith({ window: [1, 4, 2], 'state.h': [1_000_000, 1_000] }, { ...good, 'state.h.next': [1_000_000, 1_000] }),
      /has more than/,
    ],
    [
      'a score of no size',
      graphWith({ window: ['N', 4, 2] }, { ...good, score: ['N', 'S', 1] }),
      /output score has shape/,
    ],
    [
      'a score that comes out too wide',
      graphWith({ window: ['N', 4, 2] }, { ...good, score: ['N', 65] }),
      /output score came out as \[1, 65\]/,
    ],
  ])('refuses %s, and says exactly what', async (_, model, message) => {
    const failure = await DetectorSession.open(runtime, model, sampleSignature(), cpu).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DetectorContractError);
    expect((failure as Error).message).toMatch(message);
  });

  it('lists every difference, not only the first', async () => {
    const model = graphWith({ window: ['N', 5, 2], foo: [1] }, { score: ['N', 1] });
    await expect(DetectorSession.open(runtime, model, sampleSignature(), cpu)).rejects.toMatchObject({
      code: 'detector-contract',
      problems: [{ path: 'input window' }, { path: 'input foo' }, { path: 'output contributions' }],
    });
  });
});
