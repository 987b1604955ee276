import { bitsPerElement, DataType, dataTypeName } from './data-types.ts';
import { ExternalDataError, InvalidModelError, InvalidTensorError } from './errors.ts';
import { validateFunctions } from './function-validation.ts';
import type { AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto } from './messages.ts';
import { elementCount } from './tensor.ts';

/**
 * Checks what ONNX Runtime would trip over later, or worse, would not: names and order of values (so there are no cycles),
 * tensor sizes, external data, functions that call themselves or grow without bound. Operators and types are ONNX
 * Runtime's to check.
 *
 * @throws InvalidModelError, InvalidTensorError, ExternalDataError, ModelTooLargeError; each names the place
 */
export function validateModel(model: ModelProto): asserts model is ModelProto & { graph: GraphProto } {
  if (model.graph === undefined) throw new InvalidModelError('The model has no graph: truncated, or no ONNX model.');
  if ((model.irVersion ?? 0) < 3)
    throw new InvalidModelError(`IR version ${model.irVersion ?? 'missing'}; 3 is the least.`);
  if (model.opsetImport.length === 0) throw new InvalidModelError('The model names no operator set: truncated?');
  const domains = model.opsetImport.map((opset) => opset.domain ?? '');
  if (new Set(domains).size !== domains.length) throw new InvalidModelError('Two operator sets for one domain.');
  if (model.graph.output.length === 0) throw new InvalidModelError('The graph has no outputs.');
  validateGraph(model.graph, undefined, 'graph');
  for (const [index, definition] of model.functions.entries()) validateFunction(definition, `functions[${index}]`);
  validateFunctions(model.functions, model.graph);
}

/** The values that a node may use: those of its own graph so far, and of the graphs around it. */
class Scope {
  readonly #own = new Set<string>();
  readonly #outer: Scope | undefined;
  readonly #path: string;

  constructor(path: string, outer?: Scope) {
    this.#path = path;
    this.#outer = outer;
  }

  define(name: string | undefined, what: string): void {
    if (name === undefined || name === '') throw new InvalidModelError(`${this.#path}: ${what} has no name.`);
    if (this.#own.has(name)) throw new InvalidModelError(`${this.#path}: ${what} ${quote(name)} is defined twice.`);
    this.#own.add(name);
  }

  has(name: string): boolean {
    return this.#own.has(name) || (this.#outer?.has(name) ?? false);
  }
}

function validateGraph(graph: GraphProto, outer: Scope | undefined, path: string): void {
  const scope = new Scope(path, outer);
  const define = (name: string | undefined, what: string): void => scope.define(name, what);
  for (const input of graph.input) define(input.name, 'input');
  const inputs = new Set(graph.input.map(({ name }) => name));
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
  validateNodes(graph.node, scope, path);
  for (const output of graph.output) {
    if (!scope.has(output.name ?? '')) {
      throw new InvalidModelError(`${path}: nothing produces the output ${quote(output.name ?? '')}.`);
    }
  }
}

function validateFunction(definition: FunctionProto, path: string): void {
  const scope = new Scope(path);
  for (const input of definition.input) scope.define(input, 'input');
  validateNodes(definition.node, scope, path);
  for (const output of definition.output) {
    if (!scope.has(output)) throw new InvalidModelError(`${path}: nothing produces the output ${quote(output)}.`);
  }
  for (const attribute of definition.attributeProto) validateAttribute(attribute, scope, path);
}

/** Nodes come in the order of execution, as the standard asks: so there is no cycle either. */
function validateNodes(nodes: readonly NodeProto[], scope: Scope, path: string): void {
  for (const [index, node] of nodes.entries()) {
    const here = `${path}.${labelOf(node)}`;
    if ((node.opType ?? '') === '') throw new InvalidModelError(`${here}: no operator.`);
    for (const input of node.input) {
      if (input === '' || scope.has(input)) continue;
      const later = nodes.slice(index).some(({ output }) => output.includes(input));
      throw new InvalidModelError(
        `${here}: input ${quote(input)} is not produced by anything before it${later ? ', only after: a cycle, or nodes out of order' : ''}.`,
      );
    }
    for (const attribute of node.attribute) validateAttribute(attribute, scope, `${here}.${attribute.name ?? ''}`);
    for (const output of node.output) if (output !== '') scope.define(output, `output of ${labelOf(node)}`);
  }
}

function validateAttribute(attribute: AttributeProto, scope: Scope, path: string): void {
  const sparse = [...(attribute.sparseTensor ? [attribute.sparseTensor] : []), ...attribute.sparseTensors];
  const tensors = [...(attribute.t ? [attribute.t] : []), ...attribute.tensors];
  for (const { values, indices } of sparse) tensors.push(...[values, indices].filter((part) => part !== undefined));
  for (const tensor of tensors) validateTensor(tensor, path);
  for (const graph of [...(attribute.g ? [attribute.g] : []), ...attribute.graphs]) validateGraph(graph, scope, path);
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
  // Two 4-bit elements share one of the typed field; some writers give each its own.
  if (bits === 4 && found >= count / 2 && found <= count) return;
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

function labelOf(node: NodeProto): string {
  const name = node.name ?? node.output[0] ?? '';
  return `${node.opType ?? 'node'}${name === '' ? '' : `(${name})`}`;
}

function quote(name: string): string {
  return JSON.stringify(name);
}
