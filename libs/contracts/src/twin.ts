import { z } from 'zod';
import { digestSchema, epochMsSchema, idSchema } from './ids.ts';
import { decisionPolicySchema } from './manifest.ts';
import { signedDocumentSchema } from './envelope.ts';
import { executionReasonSchema, executionStatusSchema, executionStepSchema } from './statuses.ts';
import { hardwareProfileSchema } from './tiers.ts';

/** Both twin documents are full, never patches, and bounded. */
export const MAX_TWIN_BYTES = 64 * 2 ** 10;

/** Overrides of a variant's decision for one (device, pipeline, variant). */
export const calibrationSchema = z.object({
  version: z.number().int().min(1),
  variantDigest: digestSchema,
  policy: decisionPolicySchema.optional(),
  center: z.array(z.number()).max(256).optional(),
  scale: z.array(z.number().positive()).max(256).optional(),
});
export type Calibration = z.infer<typeof calibrationSchema>;

export const desiredPipelineSchema = z.object({
  release: idSchema,
  /** Grows with every release of a model; a lower one is taken only where `rollback` says so. */
  releaseVersion: z.number().int().min(1),
  rollback: z.boolean().optional(),
  /** The rollout and execution that brought it, for the device's reports. */
  rollout: idSchema.nullable(),
  execution: idSchema.nullable(),
  manifest: z.object({ digest: digestSchema, sizeBytes: z.number().int().positive() }),
  /** Names of variants that this device may use, the server's preference first. */
  candidates: z.array(idSchema).min(1).max(32),
  calibration: calibrationSchema.nullable(),
});
export type DesiredPipeline = z.infer<typeof desiredPipelineSchema>;

/** What a device shall be. */
export const desiredStateSchema = z.object({
  format: z.literal('drover.desired/1'),
  /** The key set, signed by the root; here so that a rotation reaches a device with its next instruction. */
  keys: signedDocumentSchema,
  pipelines: z.record(idSchema, desiredPipelineSchema),
  config: z
    .object({
      /** How often presence is renewed while nothing else is sent. */
      heartbeatMs: z.number().int().min(1_000).max(3_600_000).default(30_000),
      /** Raw samples are summarised to one row per this time before they are sent; 0 sends each. */
      measurementIntervalMs: z.number().int().min(0).max(3_600_000).default(1_000),
      probationMs: z.number().int().min(0).max(86_400_000).default(5_000),
    })
    .prefault({}),
});
export type DesiredState = z.infer<typeof desiredStateSchema>;

/** The state of one pipeline on the device, and of the execution that last changed it. */
export const reportedPipelineSchema = z.object({
  release: idSchema.nullable(),
  releaseVersion: z.number().int().nullable(),
  variant: idSchema.nullable(),
  variantDigest: digestSchema.nullable(),
  provider: z.string().max(32).nullable(),
  calibrationVersion: z.number().int().nullable(),
  rollout: idSchema.nullable(),
  /** Latency from a sample's arrival to its decision, microseconds. */
  latency: z.object({ count: z.number().int(), p50Us: z.number(), p95Us: z.number(), p99Us: z.number() }).nullable(),
  windows: z.number().int().min(0),
  lastScoreAt: epochMsSchema.nullable(),
});
export type ReportedPipeline = z.infer<typeof reportedPipelineSchema>;

/** What a device is. */
export const reportedStateSchema = z.object({
  format: z.literal('drover.reported/1'),
  /** The desired document that was last accepted. */
  desired: z.object({ epoch: z.number().int(), version: z.number().int() }),
  keysVersion: z.number().int().min(0),
  profile: hardwareProfileSchema,
  pipelines: z.record(idSchema, reportedPipelineSchema),
  store: z.object({
    pending: z.number().int(),
    bytes: z.number().int(),
    dropped: z.record(z.string().max(16), z.number().int()),
  }),
});
export type ReportedState = z.infer<typeof reportedStateSchema>;

/** News of an execution. `sequence` only grows per execution; an older one is ignored. */
export const executionReportSchema = z.object({
  execution: idSchema,
  sequence: z.number().int().min(1),
  status: executionStatusSchema,
  step: executionStepSchema.nullable(),
  reason: executionReasonSchema.nullable(),
  message: z.string().max(2_000).nullable(),
  /** 0 to 1 within the step, where it is known. */
  progress: z.number().min(0).max(1).nullable(),
  variant: idSchema.nullable(),
  variantDigest: digestSchema.nullable(),
  provider: z.string().max(32).nullable(),
  at: epochMsSchema,
});
export type ExecutionReport = z.infer<typeof executionReportSchema>;
