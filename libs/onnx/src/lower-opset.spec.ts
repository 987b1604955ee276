import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { DataType } from './data-types.ts';
import { GraphBuilder } from './graph-builder.ts';
import { lowerOpset } from './lower-opset.ts';
import { float } from './message-makers.ts';
import { encodeModel } from './model.codec.ts';
import type { ValidModel } from './model.codec.ts';
import { float32, int64 } from './tensor.ts';

/** Sums of squares over the first axis: operator set 18 takes the axes as an input. */
function squares(opset?: number): ValidModel {
  const graph = new GraphBuilder('squares');
  const x = graph.input('x', DataType.FLOAT, [2, 3]);
  const axes = graph.initializer('axes', int64([0]));
  const scale = graph.initializer('scale', float32([2, 2, 2]));
  graph.node('ReduceSumSquare', [graph.node('Mul', [x, scale]), axes], { keepdims: 0 }, { outputs: ['y'] });
  graph.output('y', DataType.FLOAT, [3]);
  return graph.build(opset === undefined ? {} : { opset });
}

async function answer(model: ValidModel): Promise<number[]> {
  const session = await InferenceSession.create(encodeModel(model));
  const { y } = await session.run({ x: new Tensor('float32', [1, 2, 3, 4, 5, 6], [2, 3]) });
  await session.release();
  return Array.from((y as Tensor).data as Float32Array);
}

describe('operator sets', () => {
  it('are lowered to what old runtimes read, with the same results', async () => {
    const lowered = squares();
    expect(lowered.opsetImport[0]?.version).toBe(17);
    expect(lowered.irVersion).toBe(8);
    expect(lowered.graph.initializer.map(({ name }) => name)).toEqual(['scale']);
    const asked = squares(21);
    expect(asked.opsetImport[0]?.version).toBe(21);
    expect(await answer(lowered)).toEqual(await answer(asked));
    expect(await answer(lowered)).toEqual([68, 116, 180]);
  });

  it('stay as they are where an operator is newer, or takes what only later ones know', () => {
    const gelu = new GraphBuilder('gelu');
    gelu.node('Gelu', [gelu.input('x', DataType.FLOAT, [2])], {}, { outputs: ['y'] });
    gelu.output('y', DataType.FLOAT, [2]);
    expect(gelu.build().opsetImport[0]?.version).toBe(21);

    const dynamic = new GraphBuilder('axes-at-run-time');
    const axes = dynamic.input('axes', DataType.INT64, [1]);
    dynamic.node('ReduceMax', [dynamic.input('x', DataType.FLOAT, [2, 3]), axes], {}, { outputs: ['y'] });
    dynamic.output('y', DataType.FLOAT, ['a', 'b']);
    expect(dynamic.build().opsetImport[0]?.version).toBe(21);
  });

  it('keep attributes that both know', () => {
    const graph = new GraphBuilder('leaky');
    graph.node('LeakyRelu', [graph.input('x', DataType.FLOAT, [2])], { alpha: float(0.3) }, { outputs: ['y'] });
    graph.output('y', DataType.FLOAT, [2]);
    expect(graph.build().graph.node[0]?.attribute[0]?.f).toBe(0.3);
  });

  it('of other versions than 18 to 21 are not touched', () => {
    const model = squares(21);
    expect(lowerOpset({ ...model, opsetImport: [{ version: 22 }] })).toBeUndefined();
    expect(lowerOpset({ ...model, opsetImport: [{ version: 13 }] })).toBeUndefined();
  });
});
