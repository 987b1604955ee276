import { z } from 'zod';
import { digestSchema, idSchema, instantSchema, nameSchema } from '../ids.ts';
import {
  executionReasonSchema,
  executionStatusSchema,
  executionStepSchema,
  rolloutStatusSchema,
  slotSchema,
  waveStatusSchema,
} from '../statuses.ts';
import { deviceFilterSchema } from './devices.ts';
import { defineRoutes, pageOf, pageQuerySchema, sortBy } from './route.ts';

export const rolloutTargetSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('devices'), devices: z.array(idSchema).min(1).max(10_000) }),
  z.object({ kind: z.literal('group'), group: idSchema }),
  z.object({ kind: z.literal('filter'), filter: deviceFilterSchema }),
]);
export type RolloutTarget = z.infer<typeof rolloutTargetSchema>;

/** A wave takes a share of all targeted devices, or a number of them; the last one takes what is left. */
export const waveSizeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('percent'), percent: z.number().gt(0).max(100) }),
  z.object({ kind: z.literal('count'), count: z.number().int().min(1).max(1_000_000) }),
]);
export type WaveSize = z.infer<typeof waveSizeSchema>;

export const createRolloutSchema = z
  .object({
    name: nameSchema.optional(),
    subject: z.literal('model').default('model'),
    pipeline: idSchema,
    release: idSchema,
    target: rolloutTargetSchema,
    waves: z
      .array(waveSizeSchema)
      .min(1)
      .max(100)
      .default([{ kind: 'percent', percent: 100 }]),
    /** The one variant that every device shall run; by default each chooses among those offered by measuring them. */
    variant: idSchema.optional(),
    /** Variants that lose more VUS-PR than this against fp32 are not offered, though the release's contract allows them. */
    accuracyBudget: z.number().min(0).max(1).optional(),
    /** Share of a wave's executions that may end without success, in per cent; over it the rollout stops. */
    failureThresholdPercent: z.number().min(0).max(100).default(0),
    /** Time one step may take while the device is online and working on it. */
    stepTimeoutSeconds: z.number().int().min(1).max(86_400).default(300),
    /** A release older than what a device runs is meant. */
    rollback: z.boolean().default(false),
    /** Created paused: start with `resume`. */
    paused: z.boolean().default(false),
  })
  .superRefine((rollout, context) => {
    const percent = rollout.waves.reduce((sum, wave) => sum + (wave.kind === 'percent' ? wave.percent : 0), 0);
    if (percent > 100.000_001)
      context.addIssue({
        code: 'custom',
        path: ['waves'],
        message: `the waves add up to ${percent} %; at most 100 % can be given`,
      });
  });
export type CreateRollout = z.infer<typeof createRolloutSchema>;

export const executionCountsSchema = z.record(executionStatusSchema, z.number().int());

export const waveSchema = z.object({
  index: z.number().int(),
  size: waveSizeSchema,
  status: waveStatusSchema,
  total: z.number().int(),
  counts: executionCountsSchema,
  startedAt: instantSchema.nullable(),
  endedAt: instantSchema.nullable(),
});

export const rolloutSchema = z.object({
  id: idSchema,
  name: nameSchema,
  subject: z.literal('model'),
  slot: slotSchema,
  pipeline: idSchema,
  release: idSchema,
  target: rolloutTargetSchema,
  status: rolloutStatusSchema,
  /** Why it stands where it stands, for people. */
  statusReason: z.string().nullable(),
  failureThresholdPercent: z.number(),
  stepTimeoutSeconds: z.number().int(),
  rollback: z.boolean(),
  total: z.number().int(),
  counts: executionCountsSchema,
  waves: z.array(waveSchema),
  createdAt: instantSchema,
  startedAt: instantSchema.nullable(),
  endedAt: instantSchema.nullable(),
});
export type Rollout = z.infer<typeof rolloutSchema>;

export const executionSchema = z.object({
  id: idSchema,
  rollout: idSchema,
  wave: z.number().int(),
  device: idSchema,
  slot: slotSchema,
  status: executionStatusSchema,
  step: executionStepSchema.nullable(),
  reason: executionReasonSchema.nullable(),
  message: z.string().nullable(),
  progress: z.number().nullable(),
  variant: idSchema.nullable(),
  variantDigest: digestSchema.nullable(),
  provider: z.string().nullable(),
  version: z.number().int(),
  queuedAt: instantSchema,
  startedAt: instantSchema.nullable(),
  endedAt: instantSchema.nullable(),
});
export type Execution = z.infer<typeof executionSchema>;

const action = (path: string, summary: string) =>
  ({
    method: 'POST',
    path: `/rollouts/:rollout/${path}`,
    summary,
    access: 'operator',
    response: rolloutSchema,
    status: 200,
  }) as const;

export const rolloutRoutes = defineRoutes('rollouts', {
  list: {
    method: 'GET',
    path: '/rollouts',
    summary: 'Rollouts',
    access: 'viewer',
    query: pageQuerySchema.extend({
      status: rolloutStatusSchema.optional(),
      release: idSchema.optional(),
      sort: sortBy(['createdAt'], '-createdAt'),
    }),
    response: pageOf(rolloutSchema),
    status: 200,
  },
  create: {
    method: 'POST',
    path: '/rollouts',
    summary: 'Roll a release out in waves',
    access: 'operator',
    body: createRolloutSchema,
    response: rolloutSchema,
    status: 201,
  },
  get: {
    method: 'GET',
    path: '/rollouts/:rollout',
    summary: 'One rollout with its waves',
    access: 'viewer',
    response: rolloutSchema,
    status: 200,
  },
  pause: action('pause', 'Dispatch no further devices'),
  resume: action('resume', 'Go on after a pause'),
  abort: action(
    'abort',
    'End it: what is not finished is cancelled and those devices get their previous desired state back',
  ),
});

export const executionRoutes = defineRoutes('executions', {
  list: {
    method: 'GET',
    path: '/executions',
    summary: 'Executions of a rollout or a device',
    access: 'viewer',
    query: pageQuerySchema.extend({
      rollout: idSchema.optional(),
      device: idSchema.optional(),
      status: executionStatusSchema.optional(),
      sort: sortBy(['queuedAt', 'endedAt'], '-queuedAt'),
    }),
    response: pageOf(executionSchema),
    status: 200,
  },
  get: {
    method: 'GET',
    path: '/executions/:execution',
    summary: 'One execution',
    access: 'viewer',
    response: executionSchema,
    status: 200,
  },
});
