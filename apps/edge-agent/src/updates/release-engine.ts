import type { Manifest, Variant } from '@drover/contracts';
import type { ServedRelease } from './update-records.ts';

/** A variant with everything at hand that running it needs. */
export interface ReadyRelease {
  readonly served: ServedRelease;
  readonly manifest: Manifest;
  readonly variant: Variant;
  /** The graph's file, by digest. */
  readonly modelPath: string;
}

export interface Benchmark {
  readonly provider: string;
  readonly runs: number;
  readonly p50Us: number;
  readonly p95Us: number;
  readonly p99Us: number;
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
  benchmark(pipeline: string, release: ReadyRelease, signal: AbortSignal): Promise<Benchmark>;
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
