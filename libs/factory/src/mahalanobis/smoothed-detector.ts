import type { ValidModel } from '@drover/onnx';
import type { TrainedDetector } from '../detector.ts';
import { quantile } from '../quantile.ts';
import type { WindowShape } from '../window-set.ts';
import type { TrainingRows } from './training-rows.ts';

/** How held-out scores become a unit, and the score an alarm. */
export interface DecisionOptions {
  /** Quantile of the held-out scores that becomes a score of 1. */
  readonly unitQuantile: number;
  /** Alarm threshold, in units of that quantile. */
  readonly margin: number;
  readonly releaseRatio: number;
  readonly minLength: number;
}

/** The unit of the score: a quantile of what normal rows score by models that did not see them. */
export function unitOf(
  { heldOut, normal }: { readonly heldOut: Float64Array; readonly normal: readonly boolean[] },
  { unitQuantile }: DecisionOptions,
): number {
  return Math.max(
    quantile(
      heldOut.filter((_, n) => normal[n]),
      unitQuantile,
    ),
    Number.MIN_VALUE,
  );
}

/** A detector of smoothed channels: it keeps its state over gaps and decides by a threshold. */
export function smoothedDetector(parts: {
  readonly family: string;
  readonly graph: ValidModel;
  readonly shape: WindowShape;
  readonly rows: TrainingRows;
  readonly normal: readonly boolean[];
  /** `[C]`, 0 where a channel never changes. */
  readonly inverseScale: Float64Array;
  readonly options: DecisionOptions;
  /** Beside what is said of every family. */
  readonly summary: Readonly<Record<string, unknown>>;
}): TrainedDetector {
  const { family, graph, shape, rows, normal, inverseScale, options, summary } = parts;
  const { margin, releaseRatio, minLength } = options;
  return {
    family,
    graph,
    shape,
    policy: { kind: 'threshold', threshold: margin, releaseRatio, minLength },
    warmup: 0,
    stateReset: 'never',
    trainedOn: rows.windows,
    normal,
    constantChannels: [...inverseScale.keys()].filter((c) => inverseScale[c] === 0),
    summary: { windows: rows.count, setAside: normal.filter((flag) => !flag).length, ...summary, options },
  };
}
