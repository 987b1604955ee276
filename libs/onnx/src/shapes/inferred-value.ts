import type { NodeProto } from '../messages.ts';

/** What is known of a value before anything runs. */
export interface InferredValue {
  /** By ONNX number. */
  readonly elementType: number;
  readonly dims: readonly number[];
  /** The elements, of small integer constants and what is computed from them: shapes, axes, sizes. */
  readonly elements?: readonly number[];
}

/** Of a node, the values of its outputs; undefined (or a missing one) where they cannot be told. */
export type ShapeRule = (
  node: NodeProto,
  inputs: readonly (InferredValue | undefined)[],
) => readonly (InferredValue | undefined)[] | undefined;

/** The axis counted from the front. */
export function axisOf(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** Number of elements of a shape that is known to be sane. */
export function sizeOf(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

/** By NumPy's rule; undefined where the shapes do not go together. */
export function broadcast(...shapes: readonly (readonly number[])[]): number[] | undefined {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const result: number[] = [];
  for (let i = 0; i < rank; i += 1) {
    let size = 1;
    for (const shape of shapes) {
      const dim = shape[shape.length - rank + i] ?? 1;
      if (dim !== 1 && size !== 1 && dim !== size) return undefined;
      if (dim !== 1) size = dim;
    }
    result.push(size);
  }
  return result;
}
