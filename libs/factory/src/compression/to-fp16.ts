import { DataType, float16, isStandard, numberToFloat16, float16ToNumber, tensorValues } from '@drover/onnx';
import type { NodeProto, TensorProto, ValidModel } from '@drover/onnx';
import { UnsupportedGraphError } from '../errors.ts';
import { GraphEditor, inputsOf } from './graph-editor.ts';

/** Operators whose constants are weights; elsewhere they are statistics, thresholds, shapes. */
const WITH_WEIGHTS = new Set(['MatMul', 'Gemm', 'Conv', 'ConvTranspose', 'LSTM', 'GRU', 'RNN', 'Einsum']);
/** Smaller constants are not worth a node. */
const LEAST_ELEMENTS = 64;
/** A tensor whose largest element is smaller than this would lose precision to subnormal numbers. */
const SMALLEST_PEAK = 2 ** -6;

/**
 * Stores weights in float16: half the size, on disk and on its way. Each is widened by a `Cast`, which ONNX Runtime
 * computes once, while it loads: no cast is left in the graph that runs.
 *
 * Everything is computed in float32 as before. ONNX Runtime has no float16 kernels for most of what a detector does on
 * x86, and would widen and round around each of them; and raw units (a pressure of 101,325 Pa, squared) leave the range of
 * float16. Constants of the normalisation stay in float32, and so do weights that float16 cannot hold well.
 *
 * @throws UnsupportedGraphError when the graph has no such weights
 */
export function toFp16(model: ValidModel): ValidModel {
  const editor = new GraphEditor(model);
  const narrowed = new Map<string, TensorProto>();
  for (const [name, tensor] of weightsOf(editor)) {
    const values = tensorValues(tensor);
    if (isHeldByFloat16(values)) narrowed.set(name, float16(values, tensor.dims));
  }
  if (narrowed.size === 0) throw new UnsupportedGraphError('The graph has no float32 weights that float16 can hold.');
  const widened = new Map<string, string>();
  for (const [name, tensor] of narrowed) {
    const stored = editor.add(`${name}/fp16`, tensor);
    widened.set(name, editor.node('Cast', [stored], `${name}/fp32`, { to: DataType.FLOAT }));
  }
  // A reader in a subgraph keeps the original, which then stays.
  for (const node of editor.nodes) {
    editor.keep({ ...node, input: node.input.map((name) => widened.get(name) ?? name) });
  }
  return editor.finish();
}

function weightsOf(editor: GraphEditor): Map<string, TensorProto> {
  const weights = new Map<string, TensorProto>();
  for (const node of editor.nodes) {
    for (const name of isStandard(node) && WITH_WEIGHTS.has(node.opType ?? '') ? node.input : []) {
      const tensor = editor.constant(name);
      const fits = tensor?.dataType === DataType.FLOAT && tensor.dims.length >= 2;
      if (fits && tensor.dims.reduce((product, dim) => product * dim, 1) >= LEAST_ELEMENTS) weights.set(name, tensor);
    }
  }
  for (const name of namesInSubgraphs(editor.nodes)) weights.delete(name);
  return weights;
}

function namesInSubgraphs(nodes: readonly NodeProto[]): string[] {
  return nodes.flatMap((node) => inputsOf(node).slice(node.input.length));
}

function isHeldByFloat16(values: Float64Array): boolean {
  let peak = 0;
  for (const value of values) peak = Math.max(peak, Math.abs(value));
  return peak >= SMALLEST_PEAK && Number.isFinite(float16ToNumber(numberToFloat16(peak)));
}
