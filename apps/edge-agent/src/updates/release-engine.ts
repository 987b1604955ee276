import type { ArtifactRef, Manifest, Variant } from '@drover/contracts';
import type { ServedRelease } from './update-records.ts';

/** A variant with everything at hand that running it needs. */
export interface ReadyRelease {
  readonly served: ServedRelease;
  readonly manifest: Manifest;
  readonly variant: Variant;
  readonly model: ArtifactRef;
  /** The model's file as it was transferred, by digest. */
  readonly modelPath: string;
}

/** Bounds of one round of a measurement. */
export interface RoundLimits {
  readonly runs: number;
  readonly warmupRuns: number;
  readonly budgetMs: number;
}

/** One round's figures of a variant. */
export interface Round {
  readonly provider: string;
  /** Of each bare run, microseconds. */
  readonly timesUs: readonly number[];
  /** Resident memory of the process while the variant was loaded. */
  readonly residentBytes: number;
  /** By how much loading and running it raised that. */
  readonly ownBytes: number;
}

/**
 * What the updates know of inference: what runs in the pipelines implements it. Errors that carry a `reason` decide what an
 * execution reports.
 */
export interface ReleaseEngine {
  /** Channels of the pipeline's sensor. */
  channels(pipeline: string): readonly string[];
  /** Loads the graph beside what runs, and compares it with its golden vectors on this hardware. */
  verify(pipeline: string, release: ReadyRelease, signal: AbortSignal): Promise<void>;
  /** Loads the graph beside what runs, and runs it for a moment. */
  measure(pipeline: string, release: ReadyRelease, limits: RoundLimits, signal: AbortSignal): Promise<Round>;
  /**
   * Puts a release in the place of what runs, without losing a sample; null stops detection. Where it fails, what ran before
   * still runs.
   *
   * @returns the execution provider that really runs, null where nothing does
   */
  activate(pipeline: string, release: ReadyRelease | null): Promise<string | null>;
  /** Everything but what runs now may be let go: the way back is not needed any more. */
  settle(pipeline: string): Promise<void>;
  /** The same release under other names: another rollout has brought it. */
  relabel(pipeline: string, served: ServedRelease): void;
  /** What went wrong since the last activation: an error, a score that is no number. null where nothing did. */
  trouble(pipeline: string): string | null;
}
