import { CallerError } from '@drover/runtime';
import { DataType, decodeModel, encodeModel, float32, GraphBuilder, int64, nodeProto } from '@drover/onnx';
import type { NodeProto, ValidModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { buildRelease } from './build-release.ts';
import { FOREIGN_SIGNATURE, foreignGraph, FOREIGN_WINDOW } from './foreign-graph.fixture.ts';

const CHANNELS = FOREIGN_SIGNATURE.channels.length;

/** A detector by the contract, after something was done to it. */
function changed(change: (model: ValidModel) => void): Uint8Array {
  const model = decodeModel(foreignGraph());
  change(model);
  return encodeModel(model);
}

/** The same, past the checks of whoever writes a model. */
function forged(change: (model: ValidModel) => void, from: string, to: string): Uint8Array {
  const bytes = Buffer.from(changed(change));
  const at = bytes.lastIndexOf(from);
  expect(at).toBeGreaterThan(0);
  bytes.write(to, at, 'latin1');
  return Uint8Array.from(bytes);
}

/** A detector whose score depends on a value that somebody makes as large as they please. */
function bomb(make: (graph: GraphBuilder, window: string) => string): Uint8Array {
  const graph = new GraphBuilder('bomb');
  const x = graph.input('window', DataType.FLOAT, ['N', FOREIGN_WINDOW, CHANNELS]);
  const contributions = graph.node('ReduceMax', [x], { axes: [1], keepdims: 0 }, { outputs: ['contributions'] });
  const most = graph.node('ReduceMax', [contributions], { axes: [1], keepdims: 1 });
  const huge = graph.node('ReduceMax', [make(graph, x)], { keepdims: 0 });
  graph.node('Add', [most, huge], {}, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', CHANNELS]);
  return encodeModel(graph.build({ opset: 17, irVersion: 8 }));
}

function calling(name: string, called: string): ValidModel['functions'][number] {
  const node: NodeProto[] = [nodeProto(called, ['a'], ['b'], {}, 'own')];
  return { name, domain: 'own', input: ['a'], output: ['b'], attribute: [], node, opsetImport: [], attributeProto: [] };
}

const TRUSTED = foreignGraph();

const CASES: Readonly<Record<string, readonly [said: RegExp, model: () => Uint8Array]>> = {
  'cut in the middle': [/end|no graph|valid/, () => TRUSTED.subarray(0, TRUSTED.length / 2)],
  'no model at all': [/./, () => new TextEncoder().encode('time,value\n1,2\n')],
  'weights in another file': [
    /another file/,
    () => {
      const model = decodeModel(TRUSTED);
      const [tensor] = model.graph.initializer;
      // The encoder refuses it, so it goes in as a field that it does not know: 13, {location: /etc/passwd}.
      tensor!.unknownFields = [Uint8Array.from(Buffer.from('\x6a\x17\x0a\x08location\x12\x0b/etc/passwd', 'latin1'))];
      return encodeModel(model);
    },
  ],
  'an operator that nobody knows': [
    /Strange|cannot load|not a registered|No Op/i,
    () => changed(({ graph }) => graph.node.push(nodeProto('Strange', ['score'], ['unused']))),
  ],
  'a domain that nobody knows': [
    /own|Strange|load/,
    () =>
      changed((model) => {
        model.opsetImport.push({ domain: 'own', version: 1 });
        model.graph.node.push(nodeProto('Strange', ['score'], ['unused'], {}, 'own'));
      }),
  ],
  'a cycle': [
    /not produced by anything before it/,
    () =>
      forged(
        ({ graph }) =>
          graph.node.push(nodeProto('Relu', ['score'], ['loop_a']), nodeProto('Relu', ['loop_a'], ['loop_b'])),
        '\x0a\x05score\x12\x06loop_a',
        '\x0a\x05score\x12\x06loop_b',
      ),
  ],
  'a function that calls itself': [
    /calls itself/,
    () =>
      forged(
        (model) => {
          model.opsetImport.push({ domain: 'own', version: 1 });
          model.functions.push(calling('first', 'secnd'), calling('secnd', 'third'));
        },
        'third',
        'first',
      ),
  ],
  'a constant of a terabyte': [
    /MiB/,
    () => bomb((g) => g.node('ConstantOfShape', [g.initializer('shape', int64([2 ** 19, 2 ** 19]))])),
  ],
  'a window repeated a thousand million times': [
    /MiB/,
    () => bomb((g, x) => g.node('Tile', [x, g.initializer('times', int64([1, 2 ** 30, 1]))])),
  ],
  'as many numbers as the data says': [
    /Range .* cannot be told before it runs/,
    () =>
      bomb((g, x) => {
        const most = g.node('ReduceMax', [x], { keepdims: 0 });
        const limit = g.node('Add', [most, g.initializer('many', float32([5e9], []))]);
        return g.node('Range', [g.initializer('from', float32([0], [])), limit, g.initializer('by', float32([1], []))]);
      }),
  ],
  'a window repeated as often as the data says': [
    /Tile .* cannot be told before it runs/,
    () =>
      bomb((g, x) => {
        const most = g.node('ReduceMax', [x], { axes: [0, 1], keepdims: 0 });
        const three = g.node('Slice', [most, g.initializer('begin', int64([0])), g.initializer('end', int64([3]))]);
        return g.node('Tile', [x, g.node('Cast', [three], { to: DataType.INT64 })]);
      }),
  ],
  'a loop': [
    /Loop "for ever" runs cannot be told/,
    () =>
      changed(({ graph }) => {
        const node = nodeProto('Loop', ['', '', 'score'], ['looped']);
        node.name = 'for ever';
        graph.node.push(node);
      }),
  ],
  'a large weight that many operators pack': [
    /each operator prepares its own/,
    () =>
      bomb((g) => {
        const weight = g.node('ConstantOfShape', [g.initializer('shape', int64([4096, 4096]))]);
        const first = g.node('ConstantOfShape', [g.initializer('row', int64([1, 4096]))]);
        return Array.from({ length: 40 }).reduce<string>((y) => g.node('MatMul', [y, weight]), first);
      }),
  ],
  'a run of hours': [
    /multiplications; 1e\+11 are allowed/,
    () =>
      bomb((g, x) => {
        const most = g.node('ReduceMax', [x], { keepdims: 0 });
        const large = g.node('Expand', [most, g.initializer('size', int64([6000, 6000]))]);
        return g.node('MatMul', [large, large]);
      }),
  ],
  'numbers that are drawn': [
    /RandomUniform .* cannot be told before it runs/,
    () => bomb((g) => g.node('RandomUniform', [], { shape: [6000, 6000] })),
  ],
  'a number that is none among the weights': [
    /no numbers|positive|finite|threshold/i,
    () =>
      changed(({ graph }) => {
        const index = graph.initializer.findIndex(({ name }) => name === 'offset');
        graph.initializer[index] = { ...float32([Number.NaN], [1, 1]), name: 'offset' };
      }),
  ],
};

describe('a graph from somewhere', () => {
  it.each(Object.entries(CASES))('is refused with an error that says why: %s', async (_, [said, make]) => {
    const policy = { kind: 'threshold', threshold: 5, releaseRatio: 0.8, minLength: 2 } as const;
    const model = make();
    const release = buildRelease({ source: { kind: 'import', model, signature: FOREIGN_SIGNATURE, policy } });
    const error: unknown = await release.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(CallerError);
    expect((error as Error).message).toMatch(said);
  });
});
