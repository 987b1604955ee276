import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { DataType } from './data-types.ts';
import { InvalidGraphError, InvalidModelError } from './errors.ts';
import { GraphBuilder } from './graph-builder.ts';
import { operatorCounts, parameterCount } from './inspect.ts';
import { float } from './message-makers.ts';
import { decodeModel, encodeModel } from './model.codec.ts';
import { float16, float32, int64 } from './tensor.ts';

describe('a built graph', () => {
  it('runs in ONNX Runtime, with a dynamic batch and attributes of each kind', async () => {
    const graph = new GraphBuilder('affine');
    const x = graph.input('x', DataType.FLOAT, ['N', 2]);
    const weight = graph.initializer('weight', float32([1, 2, 3, 4, 5, 6], [3, 2]));
    const bias = graph.initializer('bias', float32([10, 20, 30]));
    const dense = graph.node('Gemm', [x, weight, bias], { alpha: float(2), transB: 1 });
    const axes = graph.initializer('axes', int64([1]));
    graph.node('ReduceSum', [dense, axes], { keepdims: 1 }, { outputs: ['sum'] });
    graph.output('sum', DataType.FLOAT, ['N', 1]);

    const session = await InferenceSession.create(encodeModel(graph.build()));
    const { sum } = await session.run({ x: new Tensor('float32', [1, 1, 0, 2], [2, 2]) });
    // 2·(x·Wᵀ) + b, summed: row 1: 2·(3+7+11)+60, row 2: 2·(4+8+12)+60
    expect(sum?.dims).toEqual([2, 1]);
    expect(Array.from((sum as Tensor).data as Float32Array)).toEqual([102, 108]);
    await session.release();
  });

  it('runs tensor attributes and float16 weights', async () => {
    const graph = new GraphBuilder('half');
    const x = graph.input('x', DataType.FLOAT, [2]);
    const constant = graph.node('Constant', [], { value: { tensor: float16([0.5, -1]) } });
    const widened = graph.node('Cast', [constant], { to: DataType.FLOAT });
    graph.node('Mul', [x, widened], {}, { outputs: ['y'] });
    graph.output('y', DataType.FLOAT, [2]);
    const session = await InferenceSession.create(encodeModel(graph.build()));
    const { y } = await session.run({ x: new Tensor('float32', [4, 4], [2]) });
    expect(Array.from((y as Tensor).data as Float32Array)).toEqual([2, -4]);
    await session.release();
  });

  it('gives unique names to nodes and constants', () => {
    const graph = new GraphBuilder('names');
    const x = graph.input('x', DataType.FLOAT, [1]);
    expect(graph.node('Relu', [x])).toBe('relu');
    expect(graph.node('Relu', [x])).toBe('relu_1');
    expect(graph.initializer('x', float32([1]))).toBe('x_1');
  });

  it('refuses inputs that nothing produces, duplicate outputs and fractional integers', () => {
    const graph = new GraphBuilder('wrong');
    const x = graph.input('x', DataType.FLOAT, [1]);
    expect(() => graph.node('Relu', ['y'])).toThrow(InvalidGraphError);
    expect(() => graph.node('Relu', [x], {}, { outputs: ['x'] })).toThrow(/exists already/);
    expect(() => graph.node('Elu', [x], { alpha: 0.5 })).toThrow(/use float/);
    expect(() => graph.output('nowhere', DataType.FLOAT, [1])).toThrow(InvalidGraphError);
    expect(() => graph.build()).toThrow(InvalidModelError);
  });

  it('can be inspected', () => {
    const graph = new GraphBuilder('inspected');
    const x = graph.input('x', DataType.FLOAT, [2]);
    const two = graph.initializer('two', float32([2, 2]));
    graph.node('Gelu', [graph.node('Mul', [x, two])], {}, { outputs: ['y'], domain: 'com.microsoft' });
    graph.output('y', DataType.FLOAT, [2]);
    const model = decodeModel(encodeModel(graph.build({ domains: { 'com.microsoft': 1 } })));
    expect([...operatorCounts(model)]).toEqual([
      ['Mul', 1],
      ['com.microsoft.Gelu', 1],
    ]);
    expect(parameterCount(model)).toBe(2);
  });
});
