import { isStandard, tensorAttribute } from '../attributes.ts';
import { DataType } from '../data-types.ts';
import type { GraphProto, NodeProto, TensorProto, ValueInfoProto } from '../messages.ts';
import { elementCount, tensorValues } from '../tensor.ts';
import { ELEMENTWISE_RULES } from './elementwise-rules.ts';
import type { InferredValue, ShapeRule } from './inferred-value.ts';
import { LAYOUT_RULES } from './layout-rules.ts';
import { MICROSOFT_RULES, PRODUCT_RULES } from './product-rules.ts';

export interface ShapeInferenceOptions {
  /** Shapes of inputs, by name, where the graph's own has names or nothing. */
  readonly inputs?: Readonly<Record<string, readonly number[]>>;
  /** Sizes of named dimensions; one that is not given is 1. */
  readonly dimensions?: Readonly<Record<string, number>>;
}

const STANDARD: Readonly<Record<string, ShapeRule>> = { ...ELEMENTWISE_RULES, ...LAYOUT_RULES, ...PRODUCT_RULES };
/** Longer integer constants are no shapes, and no tensor has more axes: what grows with each node stays small. */
const MOST_ELEMENTS = 64;

/**
 * Types and shapes of the values of a graph, as far as they can be told from the shapes of its inputs: a value that
 * depends on an operator without a rule, or on what is computed at run time, is missing unless the graph itself declares
 * it. Never fails: a node whose shapes contradict each other just has no result.
 */
export function inferShapes(graph: GraphProto, options: ShapeInferenceOptions = {}): Map<string, InferredValue> {
  const values = new Map<string, InferredValue>();
  const declared = new Map<string, InferredValue>();
  for (const info of [...graph.valueInfo, ...graph.output]) {
    const value = fromDeclaration(info, options);
    if (value !== undefined) declared.set(info.name ?? '', value);
  }
  for (const input of graph.input) {
    const value = fromDeclaration(input, options);
    if (value !== undefined) values.set(input.name ?? '', value);
  }
  for (const tensor of graph.initializer) values.set(tensor.name ?? '', fromTensor(tensor));
  for (const node of graph.node) {
    const results = resultsOf(
      node,
      node.input.map((name) => (name === '' ? undefined : values.get(name))),
    );
    for (const [index, name] of node.output.entries()) {
      const value = results?.[index] ?? declared.get(name);
      if (name !== '' && value !== undefined) keep(values, name, value);
    }
  }
  return values;
}

function keep(values: Map<string, InferredValue>, name: string, { elementType, dims, elements }: InferredValue): void {
  if (dims.length > MOST_ELEMENTS || !dims.every(isSize)) return;
  const few = elements !== undefined && elements.length <= MOST_ELEMENTS;
  values.set(name, { elementType, dims, ...(few ? { elements } : {}) });
}

function resultsOf(node: NodeProto, inputs: readonly (InferredValue | undefined)[]) {
  const operator = node.opType ?? '';
  if (isStandard(node)) {
    if (operator === 'Constant') return constantOf(node);
    return ruleOf(STANDARD, operator)?.(node, inputs);
  }
  return node.domain === 'com.microsoft' ? ruleOf(MICROSOFT_RULES, operator)?.(node, inputs) : undefined;
}

function ruleOf(rules: Readonly<Record<string, ShapeRule>>, operator: string): ShapeRule | undefined {
  return Object.hasOwn(rules, operator) ? rules[operator] : undefined;
}

function constantOf(node: NodeProto): readonly InferredValue[] | undefined {
  const tensor = tensorAttribute(node, 'value');
  if (tensor !== undefined) return [fromTensor(tensor)];
  for (const { name, i, ints, f, floats } of node.attribute) {
    if (name === 'value_int' && i !== undefined) {
      return [{ elementType: DataType.INT64, dims: [], elements: [Number(i)] }];
    }
    if (name === 'value_ints') {
      return [{ elementType: DataType.INT64, dims: [ints.length], elements: ints.map(Number) }];
    }
    if (name === 'value_float' && f !== undefined) return [{ elementType: DataType.FLOAT, dims: [] }];
    if (name === 'value_floats') return [{ elementType: DataType.FLOAT, dims: [floats.length] }];
  }
  return undefined;
}

function fromTensor(tensor: TensorProto): InferredValue {
  const elementType = tensor.dataType ?? 0;
  const shape = { elementType, dims: tensor.dims };
  const isShape = elementType === DataType.INT64 || elementType === DataType.INT32;
  if (!isShape || tensor.dims.length > 1 || elementCount(tensor.dims) > MOST_ELEMENTS) return shape;
  return { ...shape, elements: Array.from(tensorValues(tensor)) };
}

function fromDeclaration(info: ValueInfoProto, options: ShapeInferenceOptions): InferredValue | undefined {
  const { elemType, shape } = info.type?.tensorType ?? {};
  if (elemType === undefined) return undefined;
  const name = info.name ?? '';
  const given = options.inputs && Object.hasOwn(options.inputs, name) ? options.inputs[name] : undefined;
  if (given !== undefined) return { elementType: elemType, dims: given };
  if (shape === undefined) return undefined;
  const dims = shape.dim.map(({ dimValue, dimParam = '' }) => {
    const { dimensions } = options;
    return dimValue ?? (dimensions && Object.hasOwn(dimensions, dimParam) ? dimensions[dimParam]! : 1);
  });
  return dims.every(isSize) ? { elementType: elemType, dims } : undefined;
}

function isSize(dim: number): boolean {
  return Number.isSafeInteger(dim) && dim >= 0;
}
