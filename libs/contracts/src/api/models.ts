import { z } from 'zod';
import { digestSchema, idSchema, instantSchema, nameSchema } from '../ids.ts';
import { costSchema, decisionPolicySchema, manifestSchema, metricsSchema } from '../manifest.ts';
import { refusalSchema } from '../compression-contract.ts';
import { modelCardSchema } from '../model-card.ts';
import { precisionSchema } from '../tiers.ts';
import { tierChoiceSchema } from './benchmarks.ts';
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

export const RELEASE_STATUSES = ['BUILDING', 'READY', 'FAILED', 'CANCELED'] as const;

export const releaseVariantSchema = z.object({
  name: idSchema,
  precision: precisionSchema,
  size: z.string(),
  digest: digestSchema,
  sizeBytes: z.number().int(),
  policy: decisionPolicySchema,
  metrics: metricsSchema,
  cost: costSchema.nullable(),
  /** False for a variant that breaks the compression contract: kept to look at, never offered to a device. */
  offered: z.boolean(),
  /** Each term of the contract that it breaks. */
  refusals: z.array(refusalSchema),
});
export type ReleaseVariant = z.infer<typeof releaseVariantSchema>;

export const releaseSchema = z.object({
  id: idSchema,
  model: idSchema,
  version: z.number().int(),
  status: z.enum(RELEASE_STATUSES),
  /** What made it: `builds` tells how far it is, or why it failed. */
  build: idSchema.nullable(),
  family: z.string(),
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
  variants: {
    method: 'GET',
    path: '/releases/:release/variants',
    summary: 'The variants, also those that the compression contract refuses, with what they cost and lose',
    access: 'viewer',
    response: z.object({ items: z.array(releaseVariantSchema) }),
    status: 200,
  },
  card: {
    method: 'GET',
    path: '/releases/:release/card',
    summary: 'The model card: data, family, hyperparameters, metrics, variants, limits',
    access: 'viewer',
    response: modelCardSchema,
    status: 200,
  },
  cardText: {
    method: 'GET',
    path: '/releases/:release/card.md',
    summary: 'The model card as Markdown',
    access: 'viewer',
    response: 'bytes',
    status: 200,
  },
  choices: {
    method: 'GET',
    path: '/releases/:release/choices',
    summary: 'What the devices of each tier measured and chose',
    access: 'viewer',
    response: z.object({ items: z.array(tierChoiceSchema) }),
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
