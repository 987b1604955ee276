import { z } from 'zod';
import {
  calibrationSchema,
  desiredPipelineSchema,
  digestSchema,
  epochMsSchema,
  executionReasonSchema,
  executionReportSchema,
  idSchema,
} from '@drover/contracts';

/** A release that passed everything: what a pipeline serves, or served before. */
export const servedReleaseSchema = z.object({
  model: idSchema,
  release: idSchema,
  releaseVersion: z.number().int(),
  rollout: idSchema.nullable(),
  manifest: desiredPipelineSchema.shape.manifest,
  variant: idSchema,
  variantDigest: digestSchema,
  provider: z.string().nullable(),
  /** The calibration that applies to this variant; null where the manifest's own values do. */
  calibration: calibrationSchema.nullable(),
});
export type ServedRelease = z.infer<typeof servedReleaseSchema>;

/**
 * How far an attempt has come: what is already done (`downloaded`, `verified`, `benchmarked`) or what has been begun and may
 * have been cut off (`activating`).
 */
export const ATTEMPT_PHASES = [
  'begun',
  'resolved',
  'downloaded',
  'verified',
  'benchmarked',
  'activating',
  'probation',
] as const;
export type AttemptPhase = (typeof ATTEMPT_PHASES)[number];

/** A candidate that does not work on this device, and why. */
export const droppedCandidateSchema = z.object({
  variant: idSchema,
  reason: executionReasonSchema,
  message: z.string(),
});
export type DroppedCandidate = z.infer<typeof droppedCandidateSchema>;

/** A change under way. */
export const attemptSchema = z.object({
  target: desiredPipelineSchema,
  phase: z.enum(ATTEMPT_PHASES),
  /** Variants still in question, the preferred first; those that fail a check leave. */
  variants: z.array(idSchema),
  /** Those that have left, with the reason. */
  dropped: z.array(droppedCandidateSchema).default([]),
  /**
   * How often trying a variant was begun without an end: one that takes the process down with it, or has it killed for its
   * memory, must not do so for ever.
   */
  tries: z.record(idSchema, z.number().int().min(1)).default({}),
  /** What the attempt would serve, from the moment that it is chosen. */
  chosen: servedReleaseSchema.nullable(),
  /** How often activation was begun: a model that takes the process down with it must not do so for ever. */
  activations: z.number().int().min(0),
  /** By the monotonic clock of this process: probation starts over in the next. */
  probationEndsAt: z.number().nullable(),
});
export type Attempt = z.infer<typeof attemptSchema>;

/** A target that failed: not tried again, or only after a while. */
export const refusalSchema = z.object({
  key: z.string(),
  reason: executionReasonSchema,
  message: z.string(),
  failures: z.number().int().min(1),
  /** null: never. */
  retryAt: epochMsSchema.nullable(),
});
export type Refusal = z.infer<typeof refusalSchema>;

export const pipelineRecordSchema = z.object({
  serving: servedReleaseSchema.nullable(),
  previous: servedReleaseSchema.nullable(),
  attempt: attemptSchema.nullable(),
  refused: refusalSchema.nullable(),
  /** The newest report of the execution that last concerned this pipeline. */
  report: executionReportSchema.nullable(),
});
export type PipelineRecord = z.infer<typeof pipelineRecordSchema>;

export const EMPTY_RECORD: PipelineRecord = {
  serving: null,
  previous: null,
  attempt: null,
  refused: null,
  report: null,
};
