import { CallerError } from '@drover/runtime';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DataType } from './data-types.ts';
import { GraphBuilder } from './graph-builder.ts';
import { allNodes, operatorCounts, parameterCount } from './inspect.ts';
import { lowerOpset } from './lower-opset.ts';
import { float, nodeProto, valueInfo } from './message-makers.ts';
import { decodeModel, encodeModel } from './model.codec.ts';
import type { ValidModel } from './model.codec.ts';
import { inferShapes } from './shapes/infer-shapes.ts';
import { emptyTensor, float32, int64, uint8 } from './tensor.ts';

/** One of everything that a file can hold. */
function richModel(): ValidModel {
  const graph = new GraphBuilder('rich');
  const x = graph.input('window', DataType.FLOAT, ['N', 4, 2]);
  const flat = graph.node('Reshape', [x, graph.initializer('shape', int64([-1, 8]))]);
  const dense = graph.node('Gemm', [flat, graph.initializer('w', float32(Array(24).fill(0.5), [8, 3]))], {
    alpha: float(1),
  });
  const scale = graph.initializer('scale', float32(0.1));
  const zero = graph.initializer('zero', uint8(7));
  const quantized = graph.node('QuantizeLinear', [dense, scale, zero]);
  const back = graph.node('DequantizeLinear', [quantized, scale, zero]);
  const text = graph.node('Resize', [back, '', graph.initializer('scales', float32([1, 2]))], { mode: 'nearest' });
  graph.node('ReduceMax', [text, graph.initializer('axes', int64([1]))], { keepdims: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  const model = graph.build({ opset: 21, domains: { own: 1 }, metadata: { family: 'test' } });

  const inner = new GraphBuilder('then');
  inner.node('Constant', [], { value: { tensor: float32([1, 2]) } }, { outputs: ['inside'] });
  inner.output('inside', DataType.FLOAT, [2]);
  const branch = nodeProto('If', ['score'], ['chosen']);
  const empty = { floats: [], ints: [], strings: [], tensors: [], graphs: [], sparseTensors: [] };
  branch.attribute.push({ ...empty, name: 'then_branch', type: 5, g: inner.build().graph });
  model.graph.node.push(branch, nodeProto('twice', ['score'], ['doubled'], {}, 'own'));
  model.graph.valueInfo.push(valueInfo('chosen', DataType.FLOAT, ['M', 2]));
  model.graph.sparseInitializer.push({
    values: { ...float32([1, 2]), name: 'sparse' },
    indices: int64([0, 5]),
    dims: [8],
  });
  model.graph.initializer.push(
    { ...emptyTensor(), name: 'typed', dataType: DataType.INT64, dims: [2], int64Data: [-1n, 2n ** 40n] },
    { ...emptyTensor(), name: 'four', dataType: DataType.INT4, dims: [3], int32Data: [0x21, 0x3] },
    { ...emptyTensor(), name: 'text', dataType: DataType.STRING, dims: [1], stringData: [new Uint8Array([104, 105])] },
  );
  model.functions.push({
    name: 'twice',
    domain: 'own',
    input: ['a'],
    output: ['b'],
    attribute: [],
    node: [nodeProto('Add', ['a', 'a'], ['b'])],
    opsetImport: [{ version: 21 }],
    attributeProto: [],
  });
  return model;
}

type Mutation = (bytes: Uint8Array) => Uint8Array;

/** What damage, and malice, does to a file. */
function mutations(length: number): fc.Arbitrary<Mutation> {
  const place = fc.nat(length - 1);
  const span = fc.tuple(place, fc.integer({ min: 1, max: 40 }));
  return fc.oneof(
    fc.tuple(place, fc.nat(255)).map(
      ([at, value]): Mutation =>
        (bytes) =>
          bytes.with(at % bytes.length, value),
    ),
    fc.tuple(place, fc.nat(7)).map(([at, bit]): Mutation => (bytes) => {
      const index = at % bytes.length;
      return bytes.with(index, bytes[index]! ^ (1 << bit));
    }),
    span.map(
      ([at, size]): Mutation =>
        (bytes) =>
          joined(bytes.subarray(0, at), bytes.subarray(at + size)),
    ),
    span.map(
      ([at, size]): Mutation =>
        (bytes) =>
          joined(bytes.subarray(0, at + size), bytes.subarray(at)),
    ),
    fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 12 })).map(
      ([at, more]): Mutation =>
        (bytes) =>
          joined(bytes.subarray(0, at), more, bytes.subarray(at)),
    ),
    // A length or size of 64 bits, where there was another.
    place.map((at): Mutation => (bytes) => {
      const absurd = Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
      return joined(bytes.subarray(0, at), absurd, bytes.subarray(at + 1));
    }),
    place.map(
      (at): Mutation =>
        (bytes) =>
          bytes.slice(0, Math.max(1, at)),
    ),
  );
}

function joined(...parts: Uint8Array[]): Uint8Array {
  const bytes = Uint8Array.from(Buffer.concat(parts));
  return bytes.length === 0 ? new Uint8Array(1) : bytes;
}

describe('a file from somewhere', () => {
  it('is read as it was written, when it is whole', () => {
    const model = richModel();
    expect(decodeModel(encodeModel(model))).toEqual(model);
  });

  it('gives a model or an error that says what is wrong, however it was damaged', () => {
    const bytes = encodeModel(richModel());
    const read = { models: 0, errors: 0 };
    fc.assert(
      fc.property(fc.array(mutations(bytes.length), { minLength: 1, maxLength: 4 }), (list) => {
        const damaged = list.reduce((result, mutate) => mutate(result), bytes);
        let model: ValidModel;
        try {
          model = decodeModel(damaged);
        } catch (error) {
          read.errors += 1;
          expect(error).toBeInstanceOf(CallerError);
          expect((error as Error).message.length).toBeGreaterThan(10);
          return;
        }
        read.models += 1;
        // What was accepted can be looked at, shaped, lowered and written again.
        expect(allNodes(model).length).toBe([...operatorCounts(model).values()].reduce((a, b) => a + b, 0));
        expect(parameterCount(model)).toBeGreaterThanOrEqual(0);
        for (const { dims } of inferShapes(model.graph).values()) expect(dims.length).toBeLessThanOrEqual(64);
        expect(() => lowerOpset(model)).not.toThrow();
        expect(decodeModel(encodeModel(model))).toEqual(model);
      }),
      { numRuns: 5_000 },
    );
    expect(read.models).toBeGreaterThan(50);
    expect(read.errors).toBeGreaterThan(500);
  }, 60_000);
});
