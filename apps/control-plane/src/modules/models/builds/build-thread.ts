import type { BuildRequest, RecordingReadOptions } from '@drover/contracts';
import type { BuiltRelease, Recording } from '@drover/factory';

/** What crosses the border to the thread of a build and back. Plain data. */

/** A file that a build reads. */
export interface RecordingFile {
  /** As its dataset calls it, or its digest. */
  readonly name: string;
  readonly digest: string;
  readonly path: string;
  /** How it is read. */
  readonly options: RecordingReadOptions;
}

/** What to learn from. */
export type SourceData =
  | { readonly kind: 'files'; readonly files: readonly RecordingFile[] }
  | { readonly kind: 'recording'; readonly name: string; readonly recording: Recording };

export interface BuildThreadRequest {
  readonly request: BuildRequest;
  readonly training: SourceData | null;
  /** The imported graph: where its file lies. */
  readonly model: string | null;
  readonly calibration: SourceData | null;
  /** `fromRow`: what was trained on is never measured on. */
  readonly evaluation: readonly { readonly file: RecordingFile; readonly fromRow?: number }[];
}

export interface BuildThreadProgress {
  /** 0 to 1. */
  readonly progress: number;
  readonly phase: string;
  readonly loss: number | null;
}

export type BuildThreadResult = BuiltRelease;
