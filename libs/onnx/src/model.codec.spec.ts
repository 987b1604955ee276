import * as fc from 'fast-check';
import { Reader, Writer } from 'protobufjs/minimal.js';
import { describe, expect, it } from 'vitest';
import { DataType } from './data-types.ts';
import {
  ExternalDataError,
  InvalidModelError,
  InvalidTensorError,
  MalformedModelError,
  ModelTooLargeError,
} from './errors.ts';
import { GraphBuilder } from './graph-builder.ts';
import { nodeProto } from './message-makers.ts';
import type { FunctionProto } from './messages.ts';
import { decodeModel, encodeModel } from './model.codec.ts';
import type { ValidModel } from './model.codec.ts';
import { emptyTensor, float32, int64, tensorOf } from './tensor.ts';

function smallModel(): ValidModel {
  const graph = new GraphBuilder('small');
  const x = graph.input('x', DataType.FLOAT, ['N', 2]);
  const weight = graph.initializer('weight', float32([1, 2, 3, 4], [2, 2]));
  graph.node('MatMul', [x, weight], {}, { outputs: ['y'] });
  graph.output('y', DataType.FLOAT, ['N', 2]);
  return graph.build({ metadata: { family: 'test' } });
}

/** A field written by hand, to make bytes that the encoder never would. */
function field(id: number, wire: number, write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer().uint32((id << 3) | wire);
  write(writer);
  return Uint8Array.from(writer.finish());
}

/** A function of the model whose one node calls another. */
function functionCalling(name: string, calls: string): FunctionProto {
  return {
    name,
    domain: 'own',
    input: ['x'],
    output: ['y'],
    attribute: [],
    node: [nodeProto(calls, ['x'], ['y'], {}, 'own')],
    opsetImport: [],
    attributeProto: [],
  };
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

describe('encoding and decoding a model', () => {
  it('gives back what was written', () => {
    const model = smallModel();
    expect(decodeModel(encodeModel(model))).toEqual(model);
  });

  it('is deterministic and stable: encode(decode(bytes)) equals bytes', () => {
    const bytes = encodeModel(smallModel());
    expect(encodeModel(smallModel())).toEqual(bytes);
    expect(encodeModel(decodeModel(bytes))).toEqual(bytes);
  });

  it('round-trips tensors of every numeric type with any values', () => {
    const kinds = fc.constantFrom(
      [DataType.FLOAT, fc.float({ noNaN: true })] as const,
      [DataType.DOUBLE, fc.double({ noNaN: true })] as const,
      [DataType.INT8, fc.integer({ min: -128, max: 127 })] as const,
      [DataType.UINT8, fc.integer({ min: 0, max: 255 })] as const,
      [DataType.INT32, fc.integer()] as const,
      [DataType.INT64, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })] as const,
    );
    const tensors = kinds.chain(([type, value]) =>
      fc
        .array(value as fc.Arbitrary<number>, { maxLength: 20 })
        .map((values) => tensorOf(type, values, [values.length])),
    );
    fc.assert(
      fc.property(fc.array(tensors, { maxLength: 5 }), fc.string({ unit: 'grapheme' }), (list, documentation) => {
        const model = smallModel();
        model.graph.initializer.push(...list.map((tensor, index) => Object.assign(tensor, { name: `extra${index}` })));
        model.docString = documentation;
        expect(decodeModel(encodeModel(model))).toEqual(model);
      }),
    );
  });

  it('round-trips values in typed fields, negative and 64-bit ones included', () => {
    fc.assert(
      fc.property(
        fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
        fc.array(fc.integer()),
        fc.array(fc.float({ noNaN: true })),
        fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
        (int64Data, int32Data, floatData, uint64Data) => {
          const model = smallModel();
          model.graph.initializer.push(
            { ...emptyTensor(), name: 'a', dataType: DataType.INT64, dims: [int64Data.length], int64Data },
            { ...emptyTensor(), name: 'b', dataType: DataType.INT32, dims: [int32Data.length], int32Data },
            { ...emptyTensor(), name: 'c', dataType: DataType.FLOAT, dims: [floatData.length], floatData },
            { ...emptyTensor(), name: 'd', dataType: DataType.UINT64, dims: [uint64Data.length], uint64Data },
          );
          expect(decodeModel(encodeModel(model))).toEqual(model);
        },
      ),
    );
  });

  it('reads repeated numbers in both forms, packed and one by one', () => {
    const bytes = encodeModel(smallModel());
    const tensorBody = (dims: Uint8Array): Uint8Array =>
      joined(
        dims,
        field(2, 0, (w) => w.int32(DataType.FLOAT)),
        field(8, 2, (w) => w.string('extra')),
        field(9, 2, (w) => w.bytes(new Uint8Array(24))),
      );
    const packed = tensorBody(field(1, 2, (w) => w.fork().uint32(3).uint32(2).ldelim()));
    const plain = tensorBody(
      joined(
        field(1, 0, (w) => w.uint32(3)),
        field(1, 0, (w) => w.uint32(2)),
      ),
    );
    for (const body of [packed, plain]) {
      // A second `graph` field is merged into the first.
      const more = field(7, 2, (w) => w.bytes(field(5, 2, (inner) => inner.bytes(body))));
      const decoded = decodeModel(joined(bytes, more));
      expect(decoded.graph.initializer.at(-1)?.dims).toEqual([3, 2]);
      expect(decoded.graph.node).toHaveLength(1);
    }
  });

  it('keeps fields it does not know', () => {
    const unknown = joined(
      field(999, 0, (w) => w.uint32(300)),
      field(1000, 2, (w) => w.string('from the future')),
    );
    const decoded = decodeModel(joined(encodeModel(smallModel()), unknown));
    const again = encodeModel(decoded);
    expect(Buffer.from(again).includes(Buffer.from(unknown))).toBe(true);
    expect(decodeModel(again)).toEqual(decoded);
  });

  it('takes a Buffer, and gives plain byte arrays', () => {
    const decoded = decodeModel(Buffer.from(encodeModel(smallModel())));
    expect(Buffer.isBuffer(decoded.graph.initializer[0]?.rawData)).toBe(false);
  });
});

describe('bytes that are no model', () => {
  it('refuses every truncation with a typed error', () => {
    const bytes = encodeModel(smallModel());
    // The trailing metadata may be absent, so a cut exactly before it is a whole model.
    const whole = encodeModel({ ...smallModel(), metadataProps: [] }).length;
    for (let length = 0; length < bytes.length; length += 1) {
      if (length === whole) continue;
      expect(() => decodeModel(bytes.subarray(0, length)), `cut at ${length}`).toThrow(
        expect.toSatisfy((error) => error instanceof MalformedModelError || error instanceof InvalidModelError),
      );
    }
  });

  it('never crashes with anything but a typed error, whatever the bytes', () => {
    const bytes = encodeModel(smallModel());
    const mutated = fc
      .array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
      .map((changes) => {
        const copy = Uint8Array.from(bytes);
        for (const [at, value] of changes) copy[at] = value;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (input) => {
        try {
          decodeModel(input);
        } catch (error) {
          expect(error).toHaveProperty('fault', 'caller');
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('names the field with the wrong wire type', () => {
    const node = field(1, 2, (w) => w.bytes(field(4, 0, (inner) => inner.uint32(7))));
    const bytes = field(7, 2, (w) => w.bytes(node));
    expect(() => decodeModel(bytes)).toThrow(/graph\.node\[0\]\.opType: wire type 0 where 2 is expected/);
  });

  it('names the field whose text is not UTF-8', () => {
    const bytes = field(2, 2, (w) => w.bytes(new Uint8Array([0xff, 0xfe])));
    expect(() => decodeModel(bytes)).toThrow(MalformedModelError);
    expect(() => decodeModel(bytes)).toThrow(/producerName/);
  });

  it('refuses a model without a graph, operator set or IR version', () => {
    expect(() => decodeModel(field(1, 0, (w) => w.uint32(10)))).toThrow(/no graph/);
    const { graph } = smallModel();
    const base = { metadataProps: [], functions: [], graph };
    expect(() => encodeModel({ ...base, opsetImport: [], irVersion: 10 })).toThrow(/operator set/);
    expect(() => encodeModel({ ...base, opsetImport: [{ version: 21 }] })).toThrow(/IR version/);
  });
});

describe('a model that would do harm', () => {
  it('refuses external data, in initialisers and in attributes', () => {
    const external = { ...float32([1, 2]), name: 'w', externalData: [{ key: 'location', value: '/etc/passwd' }] };
    const first = smallModel();
    first.graph.initializer.push(external);
    expect(() => encodeModel(first)).toThrow(ExternalDataError);
    const second = smallModel();
    second.graph.node.push(
      nodeProto('Constant', [], ['c'], { value: { tensor: { ...external, externalData: [], dataLocation: 1 } } }),
    );
    expect(() => encodeModel(second)).toThrow(/Constant.*another file/);
  });

  it('refuses tensors that do not fill their shape, or claim an absurd one', () => {
    for (const [dims, message] of [
      [[2, 3], /16 bytes \(24 expected\)/],
      [[-1], /not valid/],
      [[2 ** 40, 2 ** 40], /not valid/],
    ] as const) {
      const model = smallModel();
      model.graph.initializer[0] = { ...float32([1, 2, 3, 4]), name: 'weight', dims: [...dims] };
      expect(() => encodeModel(model)).toThrow(InvalidTensorError);
      expect(() => encodeModel(model)).toThrow(message);
    }
  });

  it('bounds the memory that many small objects would take', () => {
    const emptyNodes = new Uint8Array(400_000).map((_, index) => (index % 2 === 0 ? (1 << 3) | 2 : 0));
    const bytes = field(7, 2, (w) => w.bytes(emptyNodes));
    expect(() => decodeModel(bytes, { maxDecodedBytes: 1_000_000 })).toThrow(ModelTooLargeError);
  });

  it('bounds the memory that packed numbers would take', () => {
    const packed = field(7, 2, (w) => w.bytes(new Uint8Array(1_000_000)));
    const bytes = field(7, 2, (w) => w.bytes(field(5, 2, (inner) => inner.bytes(packed))));
    expect(() => decodeModel(bytes, { maxDecodedBytes: 10_000_000 })).toThrow(ModelTooLargeError);
  });

  it('bounds its size and nesting', () => {
    expect(() => decodeModel(new Uint8Array(11), { maxBytes: 10 })).toThrow(ModelTooLargeError);
    let body: Uint8Array = new Uint8Array(0);
    for (let level = 0; level < 200; level += 1) {
      const inner = body;
      // graph in attribute 6 in node 5 in graph 1
      body = field(1, 2, (w) => w.bytes(field(5, 2, (n) => n.bytes(field(6, 2, (a) => a.bytes(inner))))));
    }
    expect(() => decodeModel(field(7, 2, (w) => w.bytes(body)))).toThrow(/nested deeper/);
  });

  it('refuses functions that call themselves', () => {
    const model = smallModel();
    model.functions.push(functionCalling('a', 'b'), functionCalling('b', 'c'));
    expect(() => encodeModel(model)).not.toThrow();
    model.functions.push(functionCalling('c', 'a'));
    expect(() => encodeModel(model)).toThrow(/calls itself/);
  });

  it('reads a chain of a hundred thousand functions, and refuses it when the last one calls the first', () => {
    const model = smallModel();
    const count = 100_000;
    for (let i = 0; i < count; i += 1) model.functions.push(functionCalling(`f${i}`, `f${i + 1}`));
    expect(() => encodeModel(model)).not.toThrow();
    model.functions.push(functionCalling(`f${count}`, 'f0'));
    expect(() => encodeModel(model)).toThrow(/calls itself/);
  });

  it('refuses functions that would become millions of nodes', () => {
    const model = smallModel();
    for (let i = 0; i < 40; i += 1) {
      const body = functionCalling(`f${i}`, `f${i + 1}`);
      body.node.push(nodeProto(`f${i + 1}`, ['y'], ['z'], {}, 'own'));
      model.functions.push({ ...body, output: ['z'] });
    }
    expect(() => encodeModel(model)).not.toThrow();
    model.graph.node.push(nodeProto('f0', ['y'], ['called'], {}, 'own'));
    expect(() => encodeModel(model)).toThrow(ModelTooLargeError);
  });

  it('looks into the bodies of functions', () => {
    const early = smallModel();
    early.functions.push({ ...functionCalling('a', 'Relu'), node: [nodeProto('Relu', ['nowhere'], ['y'])] });
    expect(() => encodeModel(early)).toThrow(/functions\[0\].*"nowhere"/);
    const twice = smallModel();
    twice.functions.push(functionCalling('a', 'Relu'), functionCalling('a', 'Relu'));
    expect(() => encodeModel(twice)).toThrow(/same name/);
  });

  it('checks many subgraphs in a large graph in a moment', () => {
    const model = smallModel();
    for (let i = 0; i < 3_000; i += 1) {
      const inner = new GraphBuilder('inner');
      inner.output(inner.initializer('c', float32([1])), DataType.FLOAT, [1]);
      const node = nodeProto('If', ['x'], [`chosen${i}`]);
      const empty = { floats: [], ints: [], strings: [], tensors: [], graphs: [], sparseTensors: [] };
      node.attribute.push({ ...empty, name: 'then_branch', g: inner.build().graph });
      for (let j = 0; j < 10; j += 1) model.graph.node.push(nodeProto('Relu', ['x'], [`value${i}_${j}`]));
      model.graph.node.push(node);
    }
    const start = performance.now();
    encodeModel(model);
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  it('refuses 4-bit tensors that claim more than they hold', () => {
    const model = smallModel();
    const claim = { ...emptyTensor(), name: 'four', dataType: DataType.INT4, dims: [2 ** 50], int32Data: [1] };
    model.graph.initializer.push(claim);
    expect(() => encodeModel(model)).toThrow(InvalidTensorError);
  });

  it('survives groups within groups', () => {
    // Start of a group, field 15, two hundred thousand times.
    const groups = new Uint8Array(200_000).fill((15 << 3) | 3);
    expect(() => decodeModel(groups)).toThrow(MalformedModelError);
  });

  it('refuses values used before they exist, and names defined twice', () => {
    const early = smallModel();
    early.graph.node.unshift(nodeProto('Relu', ['y'], ['z']));
    expect(() => encodeModel(early)).toThrow(/"y" is not produced.*cycle, or nodes out of order/);
    const nowhere = smallModel();
    nowhere.graph.node.push(nodeProto('Relu', ['nothing'], ['z']));
    expect(() => encodeModel(nowhere)).toThrow(/"nothing" is not produced by anything before it\.$/);
    const twice = smallModel();
    twice.graph.node.push(nodeProto('Relu', ['x'], ['y']));
    expect(() => encodeModel(twice)).toThrow(/"y" is defined twice/);
  });

  it('lets subgraphs use the values around them', () => {
    const model = smallModel();
    const inner = new GraphBuilder('then');
    inner.initializer('one', float32([1]));
    inner.output('one', DataType.FLOAT, [1]);
    const branch = inner.build().graph;
    branch.node.push(nodeProto('Relu', ['x'], ['inside']));
    const node = nodeProto('If', ['x'], ['chosen']);
    node.attribute.push({
      name: 'then_branch',
      g: branch,
      floats: [],
      ints: [],
      strings: [],
      tensors: [],
      graphs: [],
      sparseTensors: [],
    });
    model.graph.node.push(node);
    expect(decodeModel(encodeModel(model))).toEqual(model);
    branch.node.push(nodeProto('Relu', ['nowhere'], ['fails']));
    expect(() => encodeModel(model)).toThrow(/then_branch.*"nowhere"/);
  });
});

describe('what other readers see', () => {
  it('is standard protobuf: the first field is the IR version', () => {
    const reader = new Reader(encodeModel(smallModel()));
    expect(reader.uint32()).toBe((1 << 3) | 0);
    expect(reader.uint32()).toBe(8);
  });

  it('writes dimensions one by one and integer data packed, as the reference library does', () => {
    const model = smallModel();
    const { rawData: _, ...rest } = int64([5]);
    model.graph.initializer.push({ ...rest, name: 'i', int64Data: [5n] });
    const bytes = Buffer.from(encodeModel(model));
    expect(bytes.includes(Buffer.from([0x08, 2, 0x08, 2]))).toBe(true);
    expect(bytes.includes(Buffer.from([0x3a, 1, 5]))).toBe(true);
  });
});
