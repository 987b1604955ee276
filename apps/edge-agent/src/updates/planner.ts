/**
 * Decides the next step of one pipeline towards its target: pure, no clock, no disk.
 *
 * INVARIANTS
 * - `record.serving` changes only by `commit` (after probation), `clear` and `confirm`; every other step leaves the last
 *   verified release in place, so whatever is interrupted or fails, that one serves.
 * - At most one attempt per pipeline. A new target first abandons the attempt of the old one.
 * - A target that failed under an execution is never tried again: a new try is a new execution.
 * - Activation is begun at most MAX_ACTIVATIONS times per attempt.
 */
import { isDeepStrictEqual } from 'node:util';
import type { DesiredPipeline, ExecutionReason } from '@drover/contracts';
import { isTerminal } from '@drover/contracts';
import type { PipelineRecord, ServedRelease } from './update-records.ts';

export const MAX_ACTIVATIONS = 3;
export const MAX_RETRY_MS = 3_600_000;

export type Step =
  /** Nothing to do. */
  | { readonly type: 'idle' }
  /** Nothing to do for so long. */
  | { readonly type: 'wait'; readonly forMs: number }
  /** Start an attempt. */
  | { readonly type: 'begin'; readonly target: DesiredPipeline }
  /** What is wanted is served already: say so. */
  | { readonly type: 'confirm'; readonly target: DesiredPipeline }
  /** The target is not possible on this device, whatever is tried. */
  | {
      readonly type: 'refuse';
      readonly target: DesiredPipeline;
      readonly reason: ExecutionReason;
      readonly message: string;
    }
  /** The target has changed: drop the attempt, back to what served before. */
  | { readonly type: 'abandon' }
  /** Fetch and check the manifest. */
  | { readonly type: 'resolve' }
  | { readonly type: 'download' }
  /** Digests, sizes and golden vectors, on this hardware. */
  | { readonly type: 'verify' }
  | { readonly type: 'benchmark' }
  | { readonly type: 'activate' }
  | { readonly type: 'commit' }
  /** The attempt failed: back to what served before. */
  | { readonly type: 'fail'; readonly reason: ExecutionReason; readonly message: string }
  /** No release is wanted any more. */
  | { readonly type: 'clear' };

export interface PlanInput {
  readonly record: PipelineRecord;
  /** null: no release is wanted. undefined: this device has never been told. */
  readonly target: DesiredPipeline | null | undefined;
  /** Whether the device's configuration has this pipeline. */
  readonly configured: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** A clock that is never set: probation must not end because the network brought the right time. */
  readonly monotonicMs: number;
  /** What went wrong with the release on probation, null while nothing did. */
  readonly trouble: string | null;
}

export function plan(input: PlanInput): Step {
  const { record, target } = input;
  if (target === undefined) return record.attempt === null ? { type: 'idle' } : continueAttempt(input);
  if (record.attempt !== null) {
    const stillWanted = target !== null && targetKey(record.attempt.target) === targetKey(target);
    return stillWanted ? continueAttempt(input) : { type: 'abandon' };
  }
  if (target === null) return record.serving === null ? { type: 'idle' } : { type: 'clear' };

  const refused = record.refused?.key === targetKey(target) ? record.refused : null;
  if (refused !== null) {
    if (refused.retryAt === null) return { type: 'idle' };
    // A clock that was set back since must not put a retry off for years.
    const forMs = Math.min(refused.retryAt - input.now, MAX_RETRY_MS);
    if (forMs > 0) return { type: 'wait', forMs };
  }
  if (!input.configured) {
    const message = 'this device has no pipeline of that name in its configuration';
    return { type: 'refuse', target, reason: 'pipeline-unknown', message };
  }
  if (serves(record.serving, target)) {
    const told = target.execution === null || isToldOf(record, target.execution);
    return told && record.serving!.rollout === target.rollout ? { type: 'idle' } : { type: 'confirm', target };
  }
  return { type: 'begin', target };
}

function continueAttempt({ record, monotonicMs, trouble }: PlanInput): Step {
  const attempt = record.attempt!;
  switch (attempt.phase) {
    case 'begun':
      return { type: 'resolve' };
    case 'resolved':
      return { type: 'download' };
    case 'downloaded':
      return { type: 'verify' };
    case 'verified':
      return { type: 'benchmark' };
    case 'benchmarked':
    // Cut off while activating: once more, as nothing says that the model was the reason.
    case 'activating':
      if (attempt.activations < MAX_ACTIVATIONS) return { type: 'activate' };
      return {
        type: 'fail',
        reason: 'activation-failed',
        message: `the agent was interrupted ${MAX_ACTIVATIONS} times between activation and the end of probation`,
      };
    case 'probation':
      if (trouble !== null) return { type: 'fail', reason: 'probation-failed', message: trouble };
      return monotonicMs < attempt.probationEndsAt!
        ? { type: 'wait', forMs: attempt.probationEndsAt! - monotonicMs }
        : { type: 'commit' };
  }
}

/**
 * A record as it is after a restart: a release that was activated but not yet through its probation does not run any more,
 * so its activation is due again.
 */
export function recover(record: PipelineRecord): PipelineRecord {
  const attempt = record.attempt;
  if (attempt?.phase !== 'probation') return record;
  return { ...record, attempt: { ...attempt, phase: 'activating', probationEndsAt: null } };
}

/** What makes a target the same target: everything that it asks for, and the execution that asks. */
export function targetKey(target: DesiredPipeline): string {
  return JSON.stringify([
    target.release,
    target.manifest.digest,
    target.candidates,
    target.calibration === null ? null : [target.calibration.version, target.calibration.variantDigest],
    target.execution,
  ]);
}

/** Whether a served release is what a target asks for. */
export function serves(serving: ServedRelease | null, target: DesiredPipeline): boolean {
  return (
    serving !== null &&
    serving.release === target.release &&
    serving.manifest.digest === target.manifest.digest &&
    target.candidates.includes(serving.variant) &&
    isDeepStrictEqual(serving.calibration, calibrationFor(target, serving.variantDigest))
  );
}

/** A calibration belongs to one variant's bytes; another variant runs with its manifest's own values. */
export function calibrationFor(target: DesiredPipeline, variantDigest: string): DesiredPipeline['calibration'] {
  return target.calibration?.variantDigest === variantDigest ? target.calibration : null;
}

function isToldOf(record: PipelineRecord, execution: string): boolean {
  return record.report?.execution === execution && isTerminal(record.report.status);
}
