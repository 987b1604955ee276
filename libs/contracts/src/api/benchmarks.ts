import { z } from 'zod';
import { idSchema, instantSchema } from '../ids.ts';
import { tierSchema } from '../tiers.ts';
import { defineRoutes, pageOf, pageQuerySchema } from './route.ts';

/** What a device measured of a variant on its own hardware. Times are of bare runs, microseconds. */
export const benchmarkSchema = z.object({
  device: idSchema,
  tier: tierSchema,
  /** True where the device says it is another board than the one it runs on: the speed is the host's. */
  simulated: z.boolean(),
  pipeline: idSchema,
  release: idSchema,
  variant: idSchema,
  provider: z.string(),
  runs: z.number().int(),
  p50Us: z.number(),
  p95Us: z.number(),
  p99Us: z.number(),
  memoryBytes: z.number().int().nullable(),
  temperature: z.object({ beforeC: z.number(), afterC: z.number() }).nullable(),
  chosen: z.boolean(),
  reason: z.string().nullable(),
  at: instantSchema,
});
export type BenchmarkRecord = z.infer<typeof benchmarkSchema>;

/** What a tier's devices measured of one release, taken together. */
export const tierChoiceSchema = z.object({
  tier: tierSchema,
  /** The variant that the next device of the tier is offered alone; null while too few have measured. */
  learned: idSchema.nullable(),
  variants: z.array(
    z.object({
      variant: idSchema,
      devices: z.number().int(),
      /** Devices that took it. */
      chosenBy: z.number().int(),
      /** Medians over devices. */
      p50Us: z.number(),
      p99Us: z.number(),
    }),
  ),
});
export type TierChoice = z.infer<typeof tierChoiceSchema>;

export const benchmarkRoutes = defineRoutes('benchmarks', {
  list: {
    method: 'GET',
    path: '/benchmarks',
    summary: 'What devices measured of variants, newest first',
    access: 'viewer',
    query: pageQuerySchema.extend({
      release: idSchema.optional(),
      variant: idSchema.optional(),
      device: idSchema.optional(),
      tier: tierSchema.optional(),
    }),
    response: pageOf(benchmarkSchema),
    status: 200,
  },
});
