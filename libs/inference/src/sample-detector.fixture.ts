import { DataType, GraphBuilder, encodeModel, float32, int64 } from '@drover/onnx';
import type { DetectorSignature } from '@drover/detection';
import { loadOnnxRuntime } from './onnx-runtime.ts';

/** Small real detectors for this package's tests. */
export interface SampleDetectorOptions {
  readonly window?: number;
  readonly channels?: number;
  /** Adds the inputs `center` and `scale`. */
  readonly calibrated?: boolean;
  /** Adds the input `mask`: held values do not count. */
  readonly masked?: boolean;
  /** Adds the state `level`, half of the way to the newest sample per window; samples are measured from it. */
  readonly stateful?: boolean;
  /** What the scores are multiplied with. */
  readonly gain?: number;
  /** A second signal: the newest sample's first channel. */
  readonly twoSignals?: boolean;
}

export const runtime = loadOnnxRuntime();

const CHANNELS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const;

/** Score: the window's mean square, times the gain. Contributions: the same per channel. */
export function sampleDetector(options: SampleDetectorOptions = {}): Uint8Array {
  const { window = 4, channels = 2, gain = 1 } = options;
  const graph = new GraphBuilder('sample');
  const n = options.stateful === true ? 1 : 'N';
  let x = graph.input('window', DataType.FLOAT, [n, window, channels]);
  const raw = x;
  if (options.calibrated === true) {
    x = graph.node('Sub', [x, graph.input('center', DataType.FLOAT, [channels])]);
    x = graph.node('Div', [x, graph.input('scale', DataType.FLOAT, [channels])]);
  }
  if (options.stateful === true) {
    const level = graph.input('state.level', DataType.FLOAT, [1, 1, channels]);
    x = graph.node('Sub', [x, level]);
    const last = graph.node('Slice', [
      raw,
      graph.initializer('from', int64([-1])),
      graph.initializer('to', int64([window])),
      graph.initializer('along', int64([1])),
    ]);
    const half = graph.initializer('half', float32(0.5));
    const sum = graph.node('Add', [level, last]);
    graph.node('Mul', [sum, half], {}, { outputs: ['state.level.next'] });
    graph.output('state.level.next', DataType.FLOAT, [1, 1, channels]);
  }
  if (options.masked === true) x = graph.node('Mul', [x, graph.input('mask', DataType.FLOAT, [n, window, channels])]);
  const square = graph.node('Mul', [graph.node('Mul', [x, x]), graph.initializer('gain', float32(gain))]);
  const overTime = graph.initializer('over_time', int64([1]));
  graph.node('ReduceMean', [square, overTime], { keepdims: 0 }, { outputs: ['contributions'] });
  const mean = graph.node('ReduceMean', ['contributions', overTime], { keepdims: 1 });
  if (options.twoSignals === true) {
    const corner = graph.node('Slice', [
      raw,
      graph.initializer('corner_from', int64([-1, 0])),
      graph.initializer('corner_to', int64([window, 1])),
      graph.initializer('corner_along', int64([1, 2])),
    ]);
    const newest = graph.node('Reshape', [corner, graph.initializer('column', int64([-1, 1]))]);
    graph.node('Concat', [mean, newest], { axis: 1 }, { outputs: ['score'] });
  } else {
    graph.node('Identity', [mean], {}, { outputs: ['score'] });
  }
  graph.output('score', DataType.FLOAT, [n, options.twoSignals === true ? 2 : 1]);
  graph.output('contributions', DataType.FLOAT, [n, channels]);
  return encodeModel(graph.build());
}

export function sampleSignature(changes: Partial<DetectorSignature> = {}, channels = 2): DetectorSignature {
  return {
    channels: CHANNELS.slice(0, channels).map((name) => ({ name, kind: 'numeric', resampling: 'last' })),
    rateHz: 1,
    window: 4,
    stride: 1,
    warmup: 0,
    maxGapMs: 5_000,
    stateReset: 'gap',
    ...changes,
  };
}

/** What the stateless sample detector computes, by hand. */
export function meanSquare(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value ** 2, 0) / values.length;
}
