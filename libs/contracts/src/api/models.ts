import { z } from 'zod';
import { digestSchema, idSchema, instantSchema, nameSchema } from '../ids.ts';
import { manifestSchema, metricsSchema, decisionPolicySchema } from '../manifest.ts';
import { precisionSchema } from '../tiers.ts';
import { defineRoutes, pageOf, pageQuerySchema, sortBy } from './route.ts';

export const modelSchema = z.object({
  id: idSchema,
  name: nameSchema,
  description: z.string(),
  createdAt: instantSchema,
  latestRelease: idSchema.nullable(),
});
export type Model = z.infer<typeof modelSchema>;

export const modelRoutes = defineRoutes('models', {
  list: {
    method: 'GET',
    path: '/models',
    summary: 'Models',
    access: 'viewer',
    query: pageQuerySchema,
    response: pageOf(modelSchema),
    status: 200,
  },
  create: {
    method: 'POST',
    path: '/models',
    summary: 'Create a model',
    access: 'operator',
    body: z.object({ id: idSchema.optional(), name: nameSchema, description: z.string().max(2_000).default('') }),
    response: modelSchema,
    status: 201,
  },
  get: {
    method: 'GET',
    path: '/models/:model',
    summary: 'One model',
    access: 'viewer',
    response: modelSchema,
    status: 200,
  },
});

/** What to train from: recordings uploaded as artifacts (CSV), or measurements that a device has sent. */
export const trainingSourceSchema = z.discriminatedUnion('kind', [
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

export const trainingSchema = z.object({
  family: z.enum(['pca']).default('pca'),
  source: trainingSourceSchema,
  /** Labelled recordings (CSV artifacts) to measure the release on; never trained on. */
  evaluation: z.array(digestSchema).max(64).default([]),
  /** Train on the first rows of each recording only. */
  trainRows: z.number().int().min(32).optional(),
  window: z.number().int().min(1).max(1_024).optional(),
  stride: z.number().int().min(1).max(1_024).optional(),
  /** Share of the variance that the principal components keep. */
  explainedVariance: z.number().gt(0).lt(1).optional(),
  seed: z
    .number()
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(1),
});
export type Training = z.infer<typeof trainingSchema>;

export const RELEASE_STATUSES = ['BUILDING', 'READY', 'FAILED'] as const;

export const releaseVariantSchema = z.object({
  name: idSchema,
  precision: precisionSchema,
  size: z.string(),
  digest: digestSchema,
  sizeBytes: z.number().int(),
  policy: decisionPolicySchema,
  metrics: metricsSchema,
});

export const releaseSchema = z.object({
  id: idSchema,
  model: idSchema,
  version: z.number().int(),
  status: z.enum(RELEASE_STATUSES),
  /** 0 to 1 while BUILDING. */
  progress: z.number(),
  phase: z.string(),
  /** Why it FAILED. */
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  family: z.string(),
  training: trainingSchema.nullable(),
  manifestDigest: digestSchema.nullable(),
  variants: z.array(releaseVariantSchema),
  createdAt: instantSchema,
  readyAt: instantSchema.nullable(),
});
export type Release = z.infer<typeof releaseSchema>;

export const releaseRoutes = defineRoutes('releases', {
  list: {
    method: 'GET',
    path: '/releases',
    summary: 'Releases',
    access: 'viewer',
    query: pageQuerySchema.extend({
      model: idSchema.optional(),
      status: z.enum(RELEASE_STATUSES).optional(),
      sort: sortBy(['createdAt', 'version'], '-createdAt'),
    }),
    response: pageOf(releaseSchema),
    status: 200,
  },
  create: {
    method: 'POST',
    path: '/releases',
    summary: 'Train a release of a model; poll it or follow `release.*` events',
    access: 'operator',
    body: z.object({ model: idSchema, training: trainingSchema }),
    response: releaseSchema,
    status: 202,
  },
  get: {
    method: 'GET',
    path: '/releases/:release',
    summary: 'One release with its variants',
    access: 'viewer',
    response: releaseSchema,
    status: 200,
  },
  manifest: {
    method: 'GET',
    path: '/releases/:release/manifest',
    summary: 'The signed manifest',
    access: 'viewer',
    response: z.object({ kind: z.literal('manifest'), payload: manifestSchema, signatures: z.array(z.unknown()) }),
    status: 200,
  },
});

export const artifactSchema = z.object({
  digest: digestSchema,
  sizeBytes: z.number().int(),
  mediaType: z.string(),
  createdAt: instantSchema,
});
export type Artifact = z.infer<typeof artifactSchema>;

export const artifactRoutes = defineRoutes('artifacts', {
  list: {
    method: 'GET',
    path: '/artifacts',
    summary: 'Artifacts',
    access: 'viewer',
    query: pageQuerySchema,
    response: pageOf(artifactSchema),
    status: 200,
  },
  upload: {
    method: 'POST',
    path: '/artifacts',
    summary: 'Store bytes by their SHA-256; the same bytes twice are one artifact',
    access: 'operator',
    upload: true,
    response: artifactSchema,
    status: 201,
  },
  download: {
    method: 'GET',
    path: '/artifacts/:digest',
    summary: 'The bytes; ranges and ETag are supported',
    access: 'viewer',
    response: 'bytes',
    status: 200,
  },
});
