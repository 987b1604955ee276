import { buildRelease } from '@drover/factory';
import type { DetectorSpec } from '@drover/inference';
import { DataType, GraphBuilder, encodeModel, float32, int64 } from '@drover/onnx';
import { bundledRecordings, loadRecording } from '@drover/recordings';
import { BenchFailedError } from '../harness/bench-failed.ts';

/** A model to measure, and samples that look like its own. */
export interface TrialModel {
  readonly name: string;
  readonly spec: Omit<DetectorSpec, 'key'>;
  readonly sizeBytes: number;
  /** Names of the values in a row. */
  readonly channels: readonly string[];
  readonly rows: readonly Float32Array[];
}

/** What `npm run demo` rolls out: principal components of the bundled pump. */
export async function pumpModel(): Promise<TrialModel> {
  const recording = await loadRecording(bundledRecordings().normal);
  const { manifestDraft, artifacts } = await buildRelease({
    source: { kind: 'train', recordings: [recording], family: { name: 'pca' } },
    variants: ['fp32'],
  });
  const [variant] = manifestDraft.variants;
  const [artifact] = artifacts;
  if (variant === undefined || artifact === undefined) throw new BenchFailedError('The release has no variant');
  const { channels, values, rows } = recording;
  return {
    name: 'pca',
    spec: {
      model: artifact.bytes,
      signature: manifestDraft.signature,
      policy: variant.policy,
      providers: ['cpu'],
    },
    sizeBytes: artifact.bytes.length,
    channels,
    rows: Array.from({ length: rows }, (_, row) =>
      Float32Array.from(values.subarray(row * channels.length, (row + 1) * channels.length)),
    ),
  };
}

const WINDOW = 80;
const CHANNELS = 8;
const HIDDEN = 128;
const CODE = 8;
const ROWS = 500;

/**
 * A dense autoencoder of about a megabyte, 640-128×4-8-128×4-640. Untrained: what it costs does not depend on its weights.
 *
 * @param share of the inner neurons that it has, as if the others had been pruned
 */
export function autoencoderModel(random: () => number, share = 1): TrialModel {
  const hidden = filled(4, HIDDEN * share);
  const layers = [WINDOW * CHANNELS, ...hidden, CODE * share, ...hidden, WINDOW * CHANNELS];
  const bytes = encodeModel(autoencoderGraph(layers, random).build());
  const channels = Array.from({ length: CHANNELS }, (_, c) => `c${c}`);
  return {
    name: 'autoencoder',
    spec: {
      model: bytes,
      signature: {
        channels: channels.map((name) => ({ name, kind: 'numeric', resampling: 'last' })),
        rateHz: 1,
        window: WINDOW,
        stride: 1,
        warmup: 0,
        maxGapMs: 10_000,
        stateReset: 'gap',
      },
      policy: { kind: 'threshold', threshold: 1e6, releaseRatio: 0.8, minLength: 1 },
      providers: ['cpu'],
    },
    sizeBytes: bytes.length,
    channels,
    rows: Array.from({ length: ROWS }, () => Float32Array.from(channels, () => random() * 2 - 1)),
  };
}

function autoencoderGraph(layers: readonly number[], random: () => number): GraphBuilder {
  const graph = new GraphBuilder('autoencoder');
  const window = graph.input('window', DataType.FLOAT, ['N', WINDOW, CHANNELS]);
  let x = graph.node('Reshape', [window, graph.initializer('flat', int64([-1, WINDOW * CHANNELS]))]);
  for (let i = 1; i < layers.length; i += 1) {
    const [from, to] = [layers[i - 1]!, layers[i]!];
    const scale = Math.sqrt(6 / from);
    const weights = Array.from({ length: from * to }, () => (random() * 2 - 1) * scale);
    const w = graph.initializer('weights', float32(weights, [from, to]));
    const b = graph.initializer('bias', float32(filled(to, 0.01)));
    x = graph.node('Gemm', [x, w, b]);
    if (i < layers.length - 1) x = graph.node('Relu', [x]);
  }
  x = graph.node('Reshape', [x, graph.initializer('windows', int64([-1, WINDOW, CHANNELS]))]);
  const error = graph.node('Sub', [window, x]);
  const over = graph.initializer('over', int64([1]));
  graph.node('ReduceMean', [graph.node('Mul', [error, error]), over], { keepdims: 0 }, { outputs: ['contributions'] });
  graph.node('ReduceMean', ['contributions', over], { keepdims: 1 }, { outputs: ['score'] });
  graph.output('score', DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', CHANNELS]);
  return graph;
}

function filled(count: number, value: number): number[] {
  return Array.from({ length: count }, () => value);
}
