import { intAttribute, intsAttribute, tensorAttribute } from '../attributes.ts';
import { DataType } from '../data-types.ts';
import { axisOf, broadcast, sizeOf } from './inferred-value.ts';
import type { ShapeRule } from './inferred-value.ts';

const reshape: ShapeRule = (node, [x, shape]) => {
  if (x === undefined || shape?.elements === undefined) return undefined;
  const keepZero = intAttribute(node, 'allowzero', 0) === 1;
  const dims = shape.elements.map((dim, axis) => (dim === 0 && !keepZero ? (x.dims[axis] ?? 1) : dim));
  const free = dims.indexOf(-1);
  if (free >= 0) {
    const rest = sizeOf(dims.filter((_, axis) => axis !== free));
    dims[free] = rest === 0 ? 0 : sizeOf(x.dims) / rest;
  }
  return sane(dims) ? [{ ...x, dims }] : undefined;
};

const flatten: ShapeRule = (node, [x]) => {
  if (x === undefined) return undefined;
  const axis = axisOf(intAttribute(node, 'axis', 1), x.dims.length);
  return [{ ...x, dims: [sizeOf(x.dims.slice(0, axis)), sizeOf(x.dims.slice(axis))] }];
};

const transpose: ShapeRule = (node, [x]) => {
  if (x === undefined) return undefined;
  const order = intsAttribute(node, 'perm') ?? x.dims.map((_, axis) => x.dims.length - 1 - axis);
  const dims = order.map((axis) => x.dims[axis] ?? -1);
  return sane(dims) ? [{ elementType: x.elementType, dims }] : undefined;
};

const squeeze: ShapeRule = (node, [x, axes]) => {
  if (x === undefined) return undefined;
  const given = intsAttribute(node, 'axes') ?? axes?.elements;
  if (given === undefined && axes !== undefined) return undefined;
  const gone = given?.map((axis) => axisOf(axis, x.dims.length));
  return [{ ...x, dims: x.dims.filter((dim, axis) => (gone === undefined ? dim !== 1 : !gone.includes(axis))) }];
};

const unsqueeze: ShapeRule = (node, [x, axes]) => {
  const given = intsAttribute(node, 'axes') ?? axes?.elements;
  if (x === undefined || given === undefined) return undefined;
  const rank = x.dims.length + given.length;
  const added = new Set(given.map((axis) => axisOf(axis, rank)));
  const rest = x.dims.values();
  return [{ ...x, dims: Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : (rest.next().value ?? 1))) }];
};

const concat: ShapeRule = (node, inputs) => {
  const known = inputs.filter((input) => input !== undefined);
  const [first] = known;
  if (first === undefined || known.length < inputs.length) return undefined;
  const axis = axisOf(intAttribute(node, 'axis', 0), first.dims.length);
  const total = known.reduce((sum, input) => sum + (input.dims[axis] ?? 0), 0);
  const elements = known.every((input) => input.elements !== undefined && input.dims.length === 1)
    ? { elements: known.flatMap((input) => input.elements!) }
    : {};
  return [{ elementType: first.elementType, dims: first.dims.with(axis, total), ...elements }];
};

const split: ShapeRule = (node, [x, sizes]) => {
  if (x === undefined) return undefined;
  const axis = axisOf(intAttribute(node, 'axis', 0), x.dims.length);
  const count = node.output.length;
  const whole = x.dims[axis] ?? 0;
  const each = Math.ceil(whole / count);
  const given = intsAttribute(node, 'split') ?? sizes?.elements;
  return node.output.map((_, index) => ({
    elementType: x.elementType,
    dims: x.dims.with(axis, given?.[index] ?? Math.max(0, Math.min(each, whole - index * each))),
  }));
};

const slice: ShapeRule = (node, [x, starts, ends, axes, steps]) => {
  const from = intsAttribute(node, 'starts') ?? starts?.elements;
  const to = intsAttribute(node, 'ends') ?? ends?.elements;
  if (x === undefined || from === undefined || to === undefined) return undefined;
  const along = intsAttribute(node, 'axes') ?? axes?.elements ?? from.map((_, index) => index);
  const dims = [...x.dims];
  for (const [index, given] of along.entries()) {
    const axis = axisOf(given, dims.length);
    const size = dims[axis] ?? 0;
    const step = steps?.elements?.[index] ?? 1;
    const place = (value: number): number =>
      Math.min(step < 0 ? size - 1 : size, Math.max(step < 0 ? -1 : 0, value < 0 ? value + size : value));
    dims[axis] = Math.max(0, Math.ceil((place(to[index] ?? size) - place(from[index] ?? 0)) / step));
  }
  const { elements } = x;
  const cut = elements && dims.length === 1 && steps === undefined ? elements.slice(from[0], to[0]) : undefined;
  return [{ elementType: x.elementType, dims, ...(cut?.length === dims[0] ? { elements: cut } : {}) }];
};

const gather: ShapeRule = (node, [x, indices]) => {
  if (x === undefined || indices === undefined) return undefined;
  const axis = axisOf(intAttribute(node, 'axis', 0), x.dims.length);
  const dims = [...x.dims.slice(0, axis), ...indices.dims, ...x.dims.slice(axis + 1)];
  const picked = indices.elements?.map((index) => x.elements?.[axisOf(index, x.elements.length)]);
  const known = x.dims.length === 1 && picked?.every((value) => value !== undefined);
  return [{ elementType: x.elementType, dims, ...(known ? { elements: picked as number[] } : {}) }];
};

const expand: ShapeRule = (_, [x, shape]) => {
  if (x === undefined || shape?.elements === undefined) return undefined;
  const dims = broadcast(x.dims, shape.elements);
  return dims && sane(dims) ? [{ elementType: x.elementType, dims }] : undefined;
};

const tile: ShapeRule = (_, [x, repeats]) => {
  if (x === undefined || repeats?.elements === undefined) return undefined;
  const dims = x.dims.map((dim, axis) => dim * (repeats.elements![axis] ?? 1));
  return sane(dims) ? [{ elementType: x.elementType, dims }] : undefined;
};

const pad: ShapeRule = (node, [x, pads, , axes]) => {
  const given = intsAttribute(node, 'pads') ?? pads?.elements;
  if (x === undefined || given === undefined) return undefined;
  const along = axes?.elements?.map((axis) => axisOf(axis, x.dims.length)) ?? x.dims.map((_, axis) => axis);
  const dims = [...x.dims];
  for (const [index, axis] of along.entries()) {
    dims[axis] = (dims[axis] ?? 0) + (given[index] ?? 0) + (given[index + along.length] ?? 0);
  }
  return sane(dims) ? [{ elementType: x.elementType, dims }] : undefined;
};

const constantOfShape: ShapeRule = (node, [shape]) => {
  const elementType = tensorAttribute(node, 'value')?.dataType ?? DataType.FLOAT;
  const dims = shape?.elements;
  return dims && sane(dims) ? [{ elementType, dims }] : undefined;
};

const shapeOf: ShapeRule = (node, [x]) => {
  if (x === undefined) return undefined;
  const rank = x.dims.length;
  const elements = x.dims.slice(
    axisOf(intAttribute(node, 'start', 0), rank),
    axisOf(intAttribute(node, 'end', rank), rank),
  );
  return [{ elementType: DataType.INT64, dims: [elements.length], elements }];
};

const range: ShapeRule = (_, [start, limit, delta]) => {
  const [from, to, step] = [start, limit, delta].map((value) => value?.elements?.[0]);
  if (from === undefined || to === undefined || step === undefined || step === 0) return undefined;
  return [{ elementType: start!.elementType, dims: [Math.max(0, Math.ceil((to - from) / step))] }];
};

const resize: ShapeRule = (_, [x, , , sizes]) =>
  x && sizes?.elements?.length === x.dims.length && sane(sizes.elements)
    ? [{ elementType: x.elementType, dims: sizes.elements }]
    : undefined;

/** Operators that move elements, or say where they are. */
export const LAYOUT_RULES: Readonly<Record<string, ShapeRule>> = {
  Reshape: reshape,
  Flatten: flatten,
  Transpose: transpose,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Concat: concat,
  Split: split,
  Slice: slice,
  Gather: gather,
  GatherElements: (_, [x, indices]) => x && indices && [{ elementType: x.elementType, dims: indices.dims }],
  Expand: expand,
  Tile: tile,
  Pad: pad,
  Resize: resize,
  ConstantOfShape: constantOfShape,
  Shape: shapeOf,
  Size: (_, [x]) => x && [{ elementType: DataType.INT64, dims: [], elements: [sizeOf(x.dims)] }],
  Range: range,
};

function sane(dims: readonly number[]): boolean {
  return dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0);
}
