import { z } from 'zod';
import { compressionContractSchema, optimisedGraphSchema, refusalSchema } from './compression-contract.ts';
import { digestSchema, idSchema, instantSchema, nameSchema } from './ids.ts';
import { costSchema, decisionPolicySchema, metricsSchema, modelSignatureSchema } from './manifest.ts';
import { precisionSchema } from './tiers.ts';

/** What a person should know before a release is used: where it comes from, what it can do, and where it ends. */
export const modelCardSchema = z.object({
  format: z.literal('drover.model-card/1'),
  /** Null where the factory ran without a control plane. */
  model: z.object({ id: idSchema, name: nameSchema }).nullable(),
  release: z.object({ id: idSchema, version: z.number().int() }).nullable(),
  createdAt: instantSchema,
  family: z.string().max(64),
  /** Why this family, where it was chosen; each sentence stands for itself. */
  choice: z.array(z.string().max(500)),
  signature: modelSignatureSchema,
  data: z.object({
    /** What it was trained on, by name or digest. */
    trainedOn: z.array(
      z.object({ name: z.string().max(200), rows: z.number().int(), digest: digestSchema.nullable() }),
    ),
    evaluatedOn: z.array(
      z.object({
        name: z.string().max(200),
        rows: z.number().int(),
        digest: digestSchema.nullable(),
        labelledShare: z.number(),
      }),
    ),
    trainingWindows: z.number().int(),
    /** Windows that looked abnormal and were set aside. */
    setAside: z.number().int(),
  }),
  hyperparameters: z.record(z.string().max(64), z.unknown()),
  seed: z.number().int(),
  contract: compressionContractSchema,
  variants: z.array(
    z.object({
      name: idSchema,
      precision: precisionSchema,
      size: idSchema,
      digest: digestSchema,
      /** As it is transferred. */
      sizeBytes: z.number().int(),
      policy: decisionPolicySchema,
      metrics: metricsSchema,
      cost: costSchema,
      optimised: optimisedGraphSchema,
      offered: z.boolean(),
      refusals: z.array(refusalSchema),
    }),
  ),
  /** What is unusual, though not wrong; and what the model was not made for. */
  limits: z.array(z.string().max(500)),
});
export type ModelCard = z.infer<typeof modelCardSchema>;
