import { z } from 'zod';
import { compressionContractSchema, variantKindSchema } from '../compression-contract.ts';
import { digestSchema, idSchema, instantSchema } from '../ids.ts';
import { decisionPolicySchema, modelSignatureSchema } from '../manifest.ts';
import { defineRoutes, pageOf, pageQuerySchema } from './route.ts';

/** Model families that the factory trains; `auto` tries them on the training data and picks one or a combination. */
export const FAMILY_NAMES = [
  'auto',
  'pca',
  'mahalanobis',
  'var',
  'adaptive',
  'shape',
  'value',
  'series',
  'dense-ae',
  'conv',
] as const;
export const familyNameSchema = z.enum(FAMILY_NAMES);
export type FamilyName = z.infer<typeof familyNameSchema>;

/** What to learn from: datasets, recordings uploaded as artifacts (CSV), or measurements that a device has sent. */
export const trainingSourceSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('datasets'), datasets: z.array(idSchema).min(1).max(16) }),
  z.object({ kind: z.literal('recordings'), artifacts: z.array(digestSchema).min(1).max(64) }),
  z.object({
    kind: z.literal('measurements'),
    device: idSchema,
    stream: idSchema,
    from: instantSchema.optional(),
    to: instantSchema.optional(),
  }),
]);
export type TrainingSource = z.infer<typeof trainingSourceSchema>;

const optionSchema = z.union([z.number(), z.string().max(200), z.boolean(), z.array(z.number()).max(64)]);

export const trainingSchema = z.object({
  family: familyNameSchema.default('auto'),
  /** Hyperparameters of the family; what is left out is its default. */
  options: z.record(z.string().max(64), optionSchema).default({}),
  source: trainingSourceSchema,
  /** Train on the first rows of each recording only. */
  trainRows: z.number().int().min(32).optional(),
  window: z.number().int().min(1).max(1_024).optional(),
  stride: z.number().int().min(1).max(1_024).optional(),
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(1),
});
export type Training = z.infer<typeof trainingSchema>;

/** A graph that somebody else has trained; it must fulfil the detector contract. */
export const modelImportSchema = z.object({
  /** The ONNX file, uploaded as an artifact. */
  artifact: digestSchema,
  signature: modelSignatureSchema,
  /** How its score becomes an alarm; found on the calibration data where it is left out. */
  policy: decisionPolicySchema.optional(),
  /** Normal operation: for the ranges of int8 and int4, golden vectors and, where none is given, the threshold. */
  calibration: trainingSourceSchema.optional(),
});
export type ModelImport = z.infer<typeof modelImportSchema>;

export const buildRequestSchema = z
  .object({
    model: idSchema,
    /** Either trained here … */
    training: trainingSchema.optional(),
    /** … or brought along. */
    import: modelImportSchema.optional(),
    /** Labelled recordings (CSV artifacts or datasets) to measure the release on; never trained on. */
    evaluation: z
      .object({
        artifacts: z.array(digestSchema).max(64).default([]),
        datasets: z.array(idSchema).max(16).default([]),
      })
      .prefault({}),
    /** Kinds of variants to make; by default those that fit the family. */
    variants: z.array(variantKindSchema).min(1).max(8).optional(),
    contract: compressionContractSchema.prefault({}),
  })
  .refine(({ training, import: imported }) => (training === undefined) !== (imported === undefined), {
    path: ['training'],
    message: 'either training or import, and not both',
  });
export type BuildRequest = z.infer<typeof buildRequestSchema>;

export const BUILD_STATUSES = ['QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED'] as const;
export type BuildStatus = (typeof BUILD_STATUSES)[number];

/** One run of the factory: it makes one release. */
export const buildSchema = z.object({
  id: idSchema,
  release: idSchema,
  status: z.enum(BUILD_STATUSES),
  /** 0 to 1. */
  progress: z.number(),
  phase: z.string(),
  /** Of the last epoch, where a network is being trained. */
  loss: z.number().nullable(),
  /** Starts so far: a build whose worker was lost starts over. */
  attempts: z.number().int(),
  /** Why it FAILED. */
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  request: buildRequestSchema,
  createdAt: instantSchema,
  startedAt: instantSchema.nullable(),
  endedAt: instantSchema.nullable(),
});
export type Build = z.infer<typeof buildSchema>;

export const buildRoutes = defineRoutes('builds', {
  list: {
    method: 'GET',
    path: '/builds',
    summary: 'Builds, newest first',
    access: 'viewer',
    query: pageQuerySchema.extend({ model: idSchema.optional(), status: z.enum(BUILD_STATUSES).optional() }),
    response: pageOf(buildSchema),
    status: 200,
  },
  create: {
    method: 'POST',
    path: '/builds',
    summary: 'Train or import a model and make a release of it; poll it or follow `build.*` events',
    access: 'operator',
    body: buildRequestSchema,
    response: buildSchema,
    status: 202,
  },
  get: {
    method: 'GET',
    path: '/builds/:build',
    summary: 'One build: phase, progress, loss',
    access: 'viewer',
    response: buildSchema,
    status: 200,
  },
  cancel: {
    method: 'POST',
    path: '/builds/:build/cancel',
    summary: 'Stop a build; its release is CANCELED',
    access: 'operator',
    response: buildSchema,
    status: 200,
  },
});
