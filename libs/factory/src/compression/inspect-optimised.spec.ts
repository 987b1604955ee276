import { DataType, float32, GraphBuilder, int64, int8 } from '@drover/onnx';
import type { ValidModel } from '@drover/onnx';
import { describe, expect, it } from 'vitest';
import { inspectOptimised } from './inspect-optimised.ts';

/** Whole numbers times weights, which ONNX Runtime can only do after a cast. */
function withCast(): ValidModel {
  const graph = new GraphBuilder('whole');
  const x = graph.input('x', DataType.INT32, ['N', 4]);
  const real = graph.node('Cast', [x], { to: DataType.FLOAT }, { outputs: ['real'] });
  const w = graph.initializer('w', float32(new Float32Array(16).fill(1), [4, 4]));
  graph.node('MatMul', [real, w], {}, { outputs: ['y'] });
  graph.output('y', DataType.FLOAT, ['N', 4]);
  return graph.build();
}

describe('the graph that really runs', () => {
  it('is told with every DequantizeLinear that nothing fused', async () => {
    const graph = new GraphBuilder('unfused');
    const x = graph.input('x', DataType.INT8, ['N', 4]);
    const scale = graph.initializer('scale', float32([0.1]));
    const y = graph.node('DequantizeLinear', [x, graph.node('Reshape', [scale, graph.initializer('s', int64([]))])]);
    graph.node('Tanh', [y], {}, { outputs: ['y'] });
    graph.output('y', DataType.FLOAT, ['N', 4]);
    expect((await inspectOptimised(graph.build())).leftoverDequantize).toHaveLength(1);
  });

  it('is told with weights that are dequantised in every run', async () => {
    const graph = new GraphBuilder('weights-only');
    const x = graph.input('x', DataType.FLOAT, ['N', 4]);
    const parameters = [
      graph.initializer('w', int8(new Int8Array(16).fill(3), [4, 4])),
      graph.initializer('scales', float32([1, 2, 3, 4])),
      graph.initializer('zeros', int8(new Int8Array(4))),
    ];
    graph.node('MatMul', [x, graph.node('DequantizeLinear', parameters, { axis: 1 })], {}, { outputs: ['y'] });
    graph.output('y', DataType.FLOAT, ['N', 4]);
    const { leftoverDequantize, operators } = await inspectOptimised(graph.build());
    // Some versions have a kernel that takes such weights as they are.
    expect(leftoverDequantize.length).toBe(operators['DequantizeLinear'] ?? 0);
  });

  it('is told with casts, but for those that the model had before', async () => {
    const model = withCast();
    expect((await inspectOptimised(model)).casts).toEqual(['real']);
    expect((await inspectOptimised(model, model)).casts).toEqual([]);
    const other = structuredClone(model);
    for (const node of other.graph.node) {
      node.output = node.output.map((name) => (name === 'real' ? 'new' : name));
      node.input = node.input.map((name) => (name === 'real' ? 'new' : name));
    }
    expect((await inspectOptimised(other, model)).casts).toEqual(['new']);
  });
});
