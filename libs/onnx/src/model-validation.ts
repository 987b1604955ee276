import { bitsPerElement, DataType, dataTypeName } from './data-types.ts';
import { ExternalDataError, InvalidModelError, InvalidTensorError } from './errors.ts';
import type { AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto } from './messages.ts';
import { elementCount } from './tensor.ts';

/**
 * Checks what ONNX Runtime would trip over later, or worse, would not: names and order of values, tensor sizes, external
 * data, functions that call themselves. Operators and types are ONNX Runtime's to check.
 *
 * @throws InvalidModelError, InvalidTensorError, ExternalDataError; each names the place
 */
export function validateModel(model: ModelProto): asserts model is ModelProto & { graph: GraphProto } {
  if (model.graph === undefined) throw new InvalidModelError('The model has no graph: truncated, or no ONNX model.');
  if ((model.irVersion ?? 0) < 3)
    throw new InvalidModelError(`IR version ${model.irVersion ?? 'missing'}; 3 is the least.`);
  if (model.opsetImport.length === 0) throw new InvalidModelError('The model names no operator set: truncated?');
  const domains = model.opsetImport.map((opset) => opset.domain ?? '');
  if (new Set(domains).size !== domains.length) throw new InvalidModelError('Two operator sets for one domain.');
  if (model.graph.output.length === 0) throw new InvalidModelError('The graph has no outputs.');
  validateGraph(model.graph, new Set(), 'graph');
  for (const [index, definition] of model.functions.entries()) {
    for (const node of definition.node) validateAttributes(node, new Set(), `functions[${index}].${labelOf(node)}`);
    for (const attribute of definition.attributeProto) validateAttribute(attribute, new Set(), `functions[${index}]`);
  }
  refuseRecursion(model.functions);
}

/** `outer` holds the values of the graphs around a subgraph, which its nodes may use. */
function validateGraph(graph: GraphProto, outer: ReadonlySet<string>, path: string): void {
  const known = new Set(outer);
  const own = new Set<string>();
  const define = (name: string | undefined, what: string): void => {
    if (name === undefined || name === '') throw new InvalidModelError(`${path}: ${what} has no name.`);
    if (own.has(name)) throw new InvalidModelError(`${path}: ${what} ${quote(name)} is defined twice.`);
    own.add(name);
    known.add(name);
  };
  for (const input of graph.input) define(input.name, 'input');
  const inputs = new Set(own);
  for (const [index, tensor] of graph.initializer.entries()) {
    // Until IR version 4 every initialiser was an input too.
    if (!inputs.has(tensor.name ?? '')) define(tensor.name, 'initializer');
    validateTensor(tensor, `${path}.initializer[${index}] ${quote(tensor.name ?? '')}`);
  }
  for (const [index, sparse] of graph.sparseInitializer.entries()) {
    define(sparse.values?.name, 'sparse initializer');
    if (sparse.values) validateTensor(sparse.values, `${path}.sparseInitializer[${index}].values`);
    if (sparse.indices) validateTensor(sparse.indices, `${path}.sparseInitializer[${index}].indices`);
  }
  for (const node of graph.node) {
    const here = `${path}.${labelOf(node)}`;
    if ((node.opType ?? '') === '') throw new InvalidModelError(`${here}: no operator.`);
    for (const input of node.input) {
      if (input !== '' && !known.has(input)) {
        throw new InvalidModelError(`${here}: input ${quote(input)} is not produced by anything before it.`);
      }
    }
    validateAttributes(node, known, here);
    for (const output of node.output) if (output !== '') define(output, `output of ${labelOf(node)}`);
  }
  for (const output of graph.output) {
    if (!known.has(output.name ?? '')) {
      throw new InvalidModelError(`${path}: nothing produces the output ${quote(output.name ?? '')}.`);
    }
  }
}

function validateAttributes(node: NodeProto, known: ReadonlySet<string>, path: string): void {
  for (const attribute of node.attribute) validateAttribute(attribute, known, `${path}.${attribute.name ?? ''}`);
}

function validateAttribute(attribute: AttributeProto, known: ReadonlySet<string>, path: string): void {
  const sparse = [...(attribute.sparseTensor ? [attribute.sparseTensor] : []), ...attribute.sparseTensors];
  const tensors = [...(attribute.t ? [attribute.t] : []), ...attribute.tensors];
  for (const { values, indices } of sparse) tensors.push(...[values, indices].filter((part) => part !== undefined));
  for (const tensor of tensors) validateTensor(tensor, path);
  for (const graph of [...(attribute.g ? [attribute.g] : []), ...attribute.graphs]) validateGraph(graph, known, path);
}

/** @throws ExternalDataError, or InvalidTensorError when the data does not fill the shape exactly */
export function validateTensor(tensor: TensorProto, path: string): void {
  if (tensor.dataLocation === 1 || tensor.externalData.length > 0) {
    throw new ExternalDataError(`${path}: its data is in another file. Save the model as one file.`);
  }
  const type = tensor.dataType ?? 0;
  const bits = bitsPerElement(type);
  if (bits === undefined && type !== DataType.STRING) {
    throw new InvalidTensorError(`${path}: element type ${type} is not known.`);
  }
  let count: number;
  try {
    count = elementCount(tensor.dims);
  } catch (cause) {
    throw new InvalidTensorError(`${path}: shape [${tensor.dims.join(', ')}] is not valid.`, { cause });
  }
  const complaint = (found: string): InvalidTensorError =>
    new InvalidTensorError(`${path}: ${dataTypeName(type)} [${tensor.dims.join(', ')}] does not fit its ${found}.`);
  if (tensor.rawData !== undefined) {
    if (bits === undefined) throw complaint('raw bytes');
    const expected = Math.ceil((count * bits) / 8);
    if (tensor.rawData.length !== expected) throw complaint(`${tensor.rawData.length} bytes (${expected} expected)`);
    return;
  }
  const found = typedLength(tensor, type);
  const perElement = type === DataType.COMPLEX64 || type === DataType.COMPLEX128 ? 2 : 1;
  // Sub-byte types share elements of the typed field; how many is the runtime's to check.
  if (bits === 4) return;
  if (found !== count * perElement) throw complaint(`${found} values`);
}

function typedLength(tensor: TensorProto, type: number): number {
  switch (type) {
    case DataType.FLOAT:
    case DataType.COMPLEX64:
      return tensor.floatData.length;
    case DataType.DOUBLE:
    case DataType.COMPLEX128:
      return tensor.doubleData.length;
    case DataType.INT64:
      return tensor.int64Data.length;
    case DataType.UINT32:
    case DataType.UINT64:
      return tensor.uint64Data.length;
    case DataType.STRING:
      return tensor.stringData.length;
    default:
      return tensor.int32Data.length;
  }
}

/** A function that reaches itself would be expanded for ever. */
function refuseRecursion(functions: readonly FunctionProto[]): void {
  const byKey = new Map(functions.map((definition) => [keyOf(definition.domain, definition.name), definition]));
  const finished = new Set<string>();
  const open = new Set<string>();
  const visit = (key: string): void => {
    const definition = byKey.get(key);
    if (definition === undefined || finished.has(key)) return;
    if (open.has(key)) throw new InvalidModelError(`functions: ${quote(definition.name ?? '')} calls itself.`);
    open.add(key);
    for (const called of calledBy(definition.node)) visit(called);
    open.delete(key);
    finished.add(key);
  };
  for (const key of byKey.keys()) visit(key);
}

function calledBy(nodes: readonly NodeProto[]): string[] {
  return nodes.flatMap((node) => [
    keyOf(node.domain, node.opType),
    ...node.attribute.flatMap((attribute) =>
      [...(attribute.g ? [attribute.g] : []), ...attribute.graphs].flatMap((graph) => calledBy(graph.node)),
    ),
  ]);
}

function keyOf(domain: string | undefined, name: string | undefined): string {
  return `${domain ?? ''}\u0000${name ?? ''}`;
}

function labelOf(node: NodeProto): string {
  const name = node.name ?? node.output[0] ?? '';
  return `${node.opType ?? 'node'}${name === '' ? '' : `(${name})`}`;
}

function quote(name: string): string {
  return JSON.stringify(name);
}
