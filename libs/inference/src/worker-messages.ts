import type { AnomalyUpdate, DetectorSignature, PolicySpec, QuantileSummary } from '@drover/detection';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import type { PathFault } from './decision-stage.ts';
import type { PathCounters, PathState } from './detection-path.ts';
import type { ChannelCalibration } from './detector-session.ts';
import type { DoorbellMemory } from './doorbell.ts';
import type { PlainError } from './errors.ts';
import type { GoldenReport, GoldenVectors } from './golden-check.ts';
import type { ModelEncoding } from './model-file.ts';
import type { ProviderFailure } from './open-session.ts';
import type { SharedRing } from './sample-ring.ts';

/** What crosses between the main thread and the worker. Both are built together, so nothing here is versioned. */

export interface WorkerSetup {
  /** Package or path of ONNX Runtime. */
  readonly runtimePackage?: string | undefined;
  readonly statsIntervalMs: number;
}

export interface WorkerData extends WorkerSetup {
  readonly doorbell: DoorbellMemory;
}

export interface PipelineSetup {
  readonly name: string;
  /** Names of the values in a sample, in their order. */
  readonly channels: readonly string[];
  /** Samples per second that the source delivers, where it is known. */
  readonly rateHz?: number | undefined;
  readonly revisionIntervalMs?: number | undefined;
}

/** A detector to prepare. */
export interface DetectorSpec {
  /** The caller's name for it, unique in its pipeline, e.g. variant digest and calibration version. */
  readonly key: string;
  /** A file's path or its bytes. A path is read again when the worker is restarted. */
  readonly model: string | Uint8Array;
  /** How it is packed. Default: not at all. */
  readonly encoding?: ModelEncoding | undefined;
  readonly signature: DetectorSignature;
  readonly policy: PolicySpec;
  readonly calibration?: ChannelCalibration | undefined;
  /** Execution providers in the order to try. */
  readonly providers: readonly string[];
  readonly threads?: number | undefined;
}

export interface PreparedDetector {
  readonly key: string;
  readonly provider: string;
  readonly failures: readonly ProviderFailure[];
  readonly signals: number;
  /** Time to load, check and run once. */
  readonly loadMs: number;
}

export interface Activation {
  readonly key: string;
  readonly provider: string;
  /** Retained samples that went into the window, and how many it takes until the first decision. */
  readonly refilledRows: number;
  readonly neededRows: number;
  readonly snapshot: PipelineSnapshot;
}

/** A pipeline's memory at one position of its samples. */
export interface PipelineSnapshot {
  readonly key: string;
  readonly position: number;
  readonly state: PathState;
}

export interface ScoreSummary {
  readonly count: number;
  readonly mean: number;
  readonly max: number;
  readonly last: number;
  /** Sample time of the last. */
  readonly lastAt: number;
}

export interface PipelineStats extends PathCounters {
  readonly pipeline: string;
  readonly key: string;
  readonly provider: string;
  /** From a sample's arrival on the main thread to its decision, microseconds, over the newest 1,024. */
  readonly latencyUs: QuantileSummary | null;
  /** The same without the way to the worker: from taking the sample to its decision. */
  readonly pathUs: QuantileSummary | null;
  /** Of the values compared with the threshold since the last periodic stats. */
  readonly scores: ScoreSummary | null;
  readonly pending: number;
}

export type ProviderProbe = ProviderFailure | { readonly provider: string; readonly reason: null };

/** Requests by name: arguments and answer. */
export interface WorkerRequests {
  /** `hold`: samples wait until a detector serves, instead of becoming history. */
  add: { args: { setup: PipelineSetup; ring: SharedRing; index: number; hold: boolean }; answer: null };
  remove: { args: { pipeline: string }; answer: null };
  prepare: { args: { pipeline: string; spec: DetectorSpec }; answer: PreparedDetector };
  golden: { args: { pipeline: string; key: string; vectors: GoldenVectors }; answer: GoldenReport };
  benchmark: { args: { pipeline: string; key: string; options: BenchmarkOptions }; answer: BenchmarkReport };
  activate: { args: { pipeline: string; key: string; state: PathState | null }; answer: Activation };
  discard: { args: { pipeline: string; key: string }; answer: null };
  snapshot: { args: { pipeline: string }; answer: PipelineSnapshot | null };
  stats: { args: { pipeline: string }; answer: PipelineStats | null };
  /** Ends the worker between two runs; the answer is each pipeline's last memory. */
  close: { args: Record<string, never>; answer: { pipeline: string; snapshot: PipelineSnapshot }[] };
  probe: { args: { providers: readonly string[] }; answer: ProviderProbe[] };
}
export type RequestName = keyof WorkerRequests;

/** A plain number rings for the pipeline of that index: it has samples. */
export type ToWorker =
  | number
  | { [K in RequestName]: { id: number; name: K; args: WorkerRequests[K]['args'] } }[RequestName];

export type FromWorker =
  | { type: 'ready' }
  | { type: 'answer'; id: number; answer: unknown }
  | { type: 'refusal'; id: number; error: PlainError }
  | {
      type: 'anomaly';
      pipeline: string;
      key: string;
      provider: string;
      update: AnomalyUpdate;
      snapshot: PipelineSnapshot;
    }
  | { type: 'fault'; pipeline: string; key: string; fault: PathFault }
  | { type: 'stats'; stats: PipelineStats; snapshot: PipelineSnapshot };
