import { DataType, GraphBuilder, encodeModel, float32, int64 } from '@drover/onnx';
import type { ModelSignature } from '@drover/contracts';

export interface ForeignDetector {
  /** A recording of normal operation, as it is loaded. */
  readonly normal: { readonly channels: readonly string[]; readonly rows: number; readonly values: Float32Array };
  readonly rateHz: number;
  /** Name of the score's output, `score` where the graph is a detector. */
  readonly score?: string;
  /** Channels that the graph says it takes. */
  readonly channels?: number;
}

const WINDOW = 8;

export function foreignSignature({ normal, rateHz }: ForeignDetector): ModelSignature {
  return {
    channels: normal.channels.map((name) => ({ name, kind: 'numeric', resampling: 'last' })),
    rateHz,
    window: WINDOW,
    stride: 1,
    warmup: 0,
    maxGapMs: 10_000 / rateHz,
    stateReset: 'gap',
  };
}

/** A detector that no family of Drover makes: the distance of a window's mean from the recording's, in deviations. */
export function foreignDetector(detector: ForeignDetector): Uint8Array {
  const { normal, score = 'score', channels = normal.channels.length } = detector;
  const graph = new GraphBuilder('somebody-elses');
  const x = graph.input('window', DataType.FLOAT, ['N', WINDOW, channels]);
  const { center, scale } = momentsOf(normal);
  const overTime = graph.initializer('over_time', int64([1]));
  const mean = graph.node('ReduceMean', [x, overTime], { keepdims: 0 });
  const off = graph.node('Sub', [mean, graph.initializer('usual', float32(center.slice(0, channels)))]);
  const z = graph.node('Mul', [off, graph.initializer('weight', float32(scale.slice(0, channels)))]);
  graph.node('Mul', [z, z], {}, { outputs: ['contributions'] });
  const sum = graph.node('ReduceSum', ['contributions', overTime], { keepdims: 1 });
  graph.node('Sqrt', [sum], {}, { outputs: [score] });
  graph.output(score, DataType.FLOAT, ['N', 1]);
  graph.output('contributions', DataType.FLOAT, ['N', channels]);
  return encodeModel(graph.build());
}

function momentsOf({ channels, rows, values }: ForeignDetector['normal']): { center: number[]; scale: number[] } {
  const columns = channels.map((_, c) => Array.from({ length: rows }, (__, row) => values[row * channels.length + c]!));
  const center = columns.map((column) => column.reduce((sum, value) => sum + value, 0) / rows);
  const scale = columns.map(
    (column, c) => 1 / Math.sqrt(column.reduce((sum, value) => sum + (value - center[c]!) ** 2, 0) / rows),
  );
  return { center, scale };
}
