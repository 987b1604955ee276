import type { PolicySpec } from '@drover/detection';
import { DataType, float32, GraphBuilder, int64, validateModel, valueInfo } from '@drover/onnx';
import type { AttributeProto, GraphProto, NodeProto, ValidModel, ValueInfoProto } from '@drover/onnx';
import type { TrainedDetector } from './detector.ts';
import { InvalidTrainingOptionsError, UnsupportedGraphError } from './errors.ts';

/** Inputs that all parts share; all others are state. */
const SHARED_INPUTS = ['window', 'mask', 'time', 'center', 'scale'];
/** Shared inputs with one entry per sample of the window, on axis 1. */
const SAMPLE_INPUTS = ['window', 'mask', 'time'];

/** A detector graph and how many samples it looks at. */
export interface GraphPart {
  readonly graph: ValidModel;
  /** W */
  readonly window: number;
}

/**
 * Several detectors as one: trained on the same channels, stride and rate, each looks at the newest samples of the longest
 * one's window, and their signals follow each other in `score`. What was trained on, and which of it is normal, are the
 * longest one's.
 *
 * @param policy for the signals of all, in the order of the detectors
 * @throws InvalidTrainingOptionsError where they do not fit together; as `combineGraphs`
 */
export function combineDetectors(
  detectors: readonly TrainedDetector[],
  family: string,
  policy: PolicySpec,
): TrainedDetector {
  const [first, ...others] = detectors;
  if (first === undefined) throw new InvalidTrainingOptionsError('There is no detector to combine.');
  const stateful = detectors.filter(({ graph }) => graph.graph.input.some(({ name }) => isState(name ?? '')));
  for (const { shape, trainedOn } of others) {
    const { stride, rateHz, maxGapMs } = shape;
    const fits = stride === first.shape.stride && rateHz === first.shape.rateHz && maxGapMs === first.shape.maxGapMs;
    if (!fits || trainedOn.channels !== first.trainedOn.channels) {
      throw new InvalidTrainingOptionsError('Detectors of different channels, rates or strides cannot be combined.');
    }
  }
  if (new Set(stateful.map(({ stateReset }) => stateReset)).size > 1) {
    throw new InvalidTrainingOptionsError('Detectors whose state is reset by different rules cannot be combined.');
  }
  const longest = detectors.reduce((a, b) => (b.shape.window > a.shape.window ? b : a));
  const { channels } = longest.trainedOn;
  const graph = combineGraphs(
    detectors.map((detector) => ({ graph: detector.graph, window: detector.shape.window })),
    channels,
  );
  return {
    family,
    graph,
    shape: longest.shape,
    policy,
    warmup: Math.max(...detectors.map(({ warmup }) => warmup)),
    stateReset: stateful[0]?.stateReset ?? longest.stateReset,
    trainedOn: longest.trainedOn,
    normal: longest.normal,
    constantChannels: longest.constantChannels.filter((c) =>
      detectors.every(({ constantChannels }) => constantChannels.includes(c)),
    ),
    summary: { parts: detectors.map((detector) => ({ family: detector.family, ...detector.summary })) },
  };
}

/**
 * One graph of several: every part gets the newest of the samples (a slice off the end of the window), its values are
 * prefixed with its index (`state.memory` of the first is `state.0.memory`), `score` is [N, S₁ + S₂ + …], and
 * `contributions` is the mean of the parts' shares, so that a part with a larger unit does not hide the others (of a single
 * channel, where shares say nothing: the largest).
 *
 * @throws UnsupportedGraphError where operator sets contradict each other, or a part has local functions
 */
export function combineGraphs(parts: readonly GraphPart[], channels: number): ValidModel {
  const window = Math.max(...parts.map((part) => part.window));
  const rows = parts.some(({ graph }) => hasState(graph.graph)) ? 1 : 'N';
  const graph = emptyGraph();
  for (const name of SHARED_INPUTS) {
    const dims = { window: [rows, window, channels], mask: [rows, window, channels], time: [rows, window] }[name];
    if (!parts.some((part) => part.graph.graph.input.some((input) => input.name === name))) continue;
    graph.input.push(valueInfo(name, DataType.FLOAT, dims ?? [channels]));
  }
  for (const [index, part] of parts.entries()) append(graph, part, { index, window });
  const head = joinOutputs(parts.length, channels);
  graph.node.push(...head.node);
  graph.initializer.push(...head.initializer);
  const signals = parts.reduce<number | string>((sum, part) => addSignals(sum, part.graph.graph), 0);
  graph.output.unshift(
    valueInfo('score', DataType.FLOAT, [rows, signals]),
    valueInfo('contributions', DataType.FLOAT, [rows, channels]),
  );
  return assemble(graph, parts);
}

function append(
  graph: GraphProto,
  { graph: model, window: own }: GraphPart,
  at: { index: number; window: number },
): void {
  const part = model.graph;
  const prefix = `${at.index}.`;
  const given = new Set(part.input.map(({ name }) => name ?? ''));
  const shorter = own < at.window;
  const rename = (name: string): string => {
    if (name === '') return '';
    if (isState(name)) return `state.${prefix}${name.slice('state.'.length)}`;
    if (!given.has(name) || !SHARED_INPUTS.includes(name)) return prefix + name;
    return shorter && SAMPLE_INPUTS.includes(name) ? prefix + name : name;
  };
  if (shorter) {
    for (const name of SAMPLE_INPUTS.filter((input) => given.has(input))) {
      const slice = newestSamples(name, rename(name), own, at.window);
      graph.node.push(...slice.node);
      graph.initializer.push(...slice.initializer);
    }
  }
  const renamed = renameGraph(part, rename);
  graph.input.push(...renamed.input.filter(({ name }) => isState(name ?? '')));
  graph.node.push(...renamed.node);
  graph.initializer.push(...renamed.initializer);
  graph.sparseInitializer.push(...renamed.sparseInitializer);
  graph.valueInfo.push(...renamed.valueInfo);
  graph.output.push(...renamed.output.filter(({ name }) => isState(name ?? '')));
}

/** `to` is the last `own` of the `window` samples of `from`. */
function newestSamples(from: string, to: string, own: number, window: number): GraphProto {
  const graph = new GraphBuilder('slice');
  graph.input(from, DataType.FLOAT, ['N', window]);
  const bounds = [window - own, window, 1].map((value, i) => graph.initializer(`${to}.slice.${i}`, int64([value])));
  graph.node('Slice', [from, ...bounds], {}, { outputs: [to] });
  graph.output(to, DataType.FLOAT, ['N', own]);
  return graph.build().graph;
}

/** `score` and `contributions` from those of the parts. */
function joinOutputs(count: number, channels: number): GraphProto {
  const graph = new GraphBuilder('join');
  const indices = Array.from({ length: count }, (_, index) => index);
  const scores = indices.map((i) => graph.input(`${i}.score`, DataType.FLOAT, ['N', `S${i}`]));
  const parts = indices.map((i) => graph.input(`${i}.contributions`, DataType.FLOAT, ['N', 'C']));
  graph.node('Concat', scores, { axis: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 'S']);
  if (channels === 1) {
    // All shares of one channel are 1.
    graph.node('Max', parts, {}, { outputs: ['contributions'] });
    graph.output('contributions', DataType.FLOAT, ['N', 1]);
    return graph.build().graph;
  }
  const axis = graph.initializer('join.axis', int64([1]));
  // A part that sees nothing unusual has no contributions at all: no share instead of a division by zero.
  const least = graph.initializer('join.least', float32(1e-30));
  const shares = parts.map((part, i) => {
    const sum = graph.node('ReduceSum', [part, axis], { keepdims: 1 }, { outputs: [`join.sum.${i}`] });
    const total = graph.node('Max', [sum, least], {}, { outputs: [`join.total.${i}`] });
    return graph.node('Div', [part, total], {}, { outputs: [`join.share.${i}`] });
  });
  graph.node('Mean', shares, {}, { outputs: ['contributions'] });
  graph.output('contributions', DataType.FLOAT, ['N', 'C']);
  return graph.build().graph;
}

/** Checks the whole like a graph that was built in one piece. */
function assemble(graph: GraphProto, parts: readonly GraphPart[]): ValidModel {
  const versions = new Map<string, number>();
  for (const { graph: model } of parts) {
    if (model.functions.length > 0)
      throw new UnsupportedGraphError('A graph with local functions cannot be combined with others.');
    for (const { domain = '', version = 1 } of model.opsetImport) {
      const other = versions.get(domain) ?? version;
      if (other !== version) {
        throw new UnsupportedGraphError(
          `One graph uses version ${version} of the operator set "${domain}", another ${other}: they cannot be combined.`,
        );
      }
      versions.set(domain, version);
    }
  }
  const irVersion = Math.max(...parts.map(({ graph: model }) => model.irVersion ?? 0));
  const opsetImport = [...versions].map(([domain, version]) => ({ domain, version }));
  const model = { irVersion, producerName: 'drover', graph, opsetImport, metadataProps: [], functions: [] };
  validateModel(model);
  return model;
}

function emptyGraph(): GraphProto {
  return {
    name: 'combination',
    node: [],
    initializer: [],
    input: [],
    output: [],
    valueInfo: [],
    sparseInitializer: [],
  };
}

/** Subgraphs see the names around them, so they are renamed by the same rule. */
function renameGraph(graph: GraphProto, rename: (name: string) => string): GraphProto {
  const info = (value: ValueInfoProto): ValueInfoProto => ({ ...value, name: rename(value.name ?? '') });
  return {
    ...graph,
    node: graph.node.map((node) => renameNode(node, rename)),
    initializer: graph.initializer.map((tensor) => ({ ...tensor, name: rename(tensor.name ?? '') })),
    input: graph.input.map(info),
    output: graph.output.map(info),
    valueInfo: graph.valueInfo.map(info),
    sparseInitializer: graph.sparseInitializer.map((sparse) =>
      sparse.values === undefined
        ? sparse
        : { ...sparse, values: { ...sparse.values, name: rename(sparse.values.name ?? '') } },
    ),
  };
}

function renameNode(node: NodeProto, rename: (name: string) => string): NodeProto {
  return {
    ...node,
    input: node.input.map(rename),
    output: node.output.map(rename),
    name: rename(node.name ?? ''),
    attribute: node.attribute.map((attribute): AttributeProto => ({
      ...attribute,
      ...(attribute.g === undefined ? {} : { g: renameGraph(attribute.g, rename) }),
      graphs: attribute.graphs.map((graph) => renameGraph(graph, rename)),
    })),
  };
}

function isState(name: string): boolean {
  return name.startsWith('state.');
}

function hasState(graph: GraphProto): boolean {
  return graph.input.some(({ name }) => isState(name ?? ''));
}

/** S of both together, where both are known. */
function addSignals(sum: number | string, graph: GraphProto): number | string {
  const output = graph.output.find(({ name }) => name === 'score');
  const signals = output?.type?.tensorType?.shape?.dim[1]?.dimValue;
  return typeof sum === 'string' || signals === undefined ? 'S' : sum + signals;
}
