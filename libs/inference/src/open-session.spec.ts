import { DataType, GraphBuilder, decodeModel, encodeModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { InvalidGraphError, RuntimeUnavailableError } from './errors.ts';
import { loadOnnxRuntime } from './onnx-runtime.ts';
import { openSession } from './open-session.ts';
import { PROBE_MODEL, probeProviders } from './provider-probe.ts';
import { runtime, sampleDetector } from './sample-detector.fixture.ts';

describe('the provider chain', () => {
  it('falls back to the CPU, and says of each provider why it does not run', async () => {
    // This machine has none of them: CUDA and TensorRT are claimed by the build but their libraries are not there.
    const opened = await openSession(runtime, sampleDetector(), ['tensorrt', 'cuda', 'xnnpack', 'nonsense']);
    expect(opened.provider).toBe('cpu');
    expect(opened.failures.map(({ provider }) => provider)).toEqual(['tensorrt', 'cuda', 'xnnpack', 'nonsense']);
    for (const { reason } of opened.failures) expect(reason).not.toBe('');
    await opened.session.release();
  });

  it('needs no provider to be named', async () => {
    const opened = await openSession(runtime, sampleDetector(), []);
    expect(opened).toMatchObject({ provider: 'cpu', failures: [] });
    await opened.session.release();
  });

  it.each([
    ['nothing', new Uint8Array(0)],
    ['noise', new Uint8Array(500).map((_, i) => (i * 7919) % 256)],
    ['half a model', sampleDetector().subarray(0, 60)],
  ])('refuses %s', async (_, bytes) => {
    await expect(openSession(runtime, bytes, ['cpu'])).rejects.toThrow(InvalidGraphError);
  });

  it('refuses a file that is not there', async () => {
    await expect(openSession(runtime, '/nowhere/model.onnx', ['cpu'])).rejects.toThrow(InvalidGraphError);
  });

  it('refuses an operator that nobody knows', async () => {
    const graph = new GraphBuilder('odd');
    graph.input('window', DataType.FLOAT, ['N', 4, 2]);
    graph.node('Frobnicate', ['window'], {}, { outputs: ['score'] });
    graph.output('score', DataType.FLOAT, ['N', 1]);
    await expect(openSession(runtime, encodeModel(graph.build()), [])).rejects.toThrow(/Frobnicate/);
  });
});

describe('loading ONNX Runtime', () => {
  it('says which package cannot be loaded', () => {
    expect(() => loadOnnxRuntime('/nowhere/onnxruntime')).toThrow(RuntimeUnavailableError);
    expect(() => loadOnnxRuntime('/nowhere/onnxruntime')).toThrow('"/nowhere/onnxruntime" cannot be loaded');
  });
});

describe('probing providers', () => {
  it('tells those that work from those that are only claimed', async () => {
    const probes = await probeProviders(runtime, ['cuda', 'cpu', 'nonsense']);
    expect(probes.map(({ provider, reason }) => [provider, reason === null])).toEqual([
      ['cuda', false],
      ['cpu', true],
      ['nonsense', false],
    ]);
  });

  it('uses the smallest model there is', () => {
    const { irVersion, graph } = decodeModel(PROBE_MODEL);
    expect(irVersion).toBe(8);
    expect(graph.node).toMatchObject([{ opType: 'Identity', input: ['x'], output: ['y'] }]);
    expect([graph.input.map(({ name }) => name), graph.initializer]).toEqual([['x'], []]);
  });
});
