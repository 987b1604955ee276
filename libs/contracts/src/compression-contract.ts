import { z } from 'zod';

/** Ways to make a variant of a trained model. `fp32` is the model as it was trained, and is always made. */
export const VARIANT_KINDS = ['fp32', 'fp16', 'int8', 'int8-dynamic', 'int4', 'pruned', 'sparse', 'distilled'] as const;
export const variantKindSchema = z.enum(VARIANT_KINDS);
export type VariantKind = z.infer<typeof variantKindSchema>;

/** The largest loss that a kind of variant may have, compared with fp32 on the same data. */
export const contractTermSchema = z.object({
  maxVusPrLoss: z.number().min(0).max(1),
  /** Smallest share of windows that must be decided as fp32 decides them; absent: none is asked. */
  minAgreement: z.number().min(0).max(1).optional(),
});
export type ContractTerm = z.infer<typeof contractTermSchema>;

/**
 * What a release promises of its variants. One that breaks its term is kept to look at and never offered to a device. A
 * variant that is smaller and of another precision (`pruned-50-int8`) is held to the term of its size.
 */
export const compressionContractSchema = z.object({
  fp16: contractTermSchema.default({ maxVusPrLoss: 0.01, minAgreement: 0.99 }),
  int8: contractTermSchema.default({ maxVusPrLoss: 0.01, minAgreement: 0.99 }),
  'int8-dynamic': contractTermSchema.default({ maxVusPrLoss: 0.01, minAgreement: 0.99 }),
  int4: contractTermSchema.default({ maxVusPrLoss: 0.03 }),
  pruned: contractTermSchema.default({ maxVusPrLoss: 0.02 }),
  sparse: contractTermSchema.default({ maxVusPrLoss: 0.02 }),
  distilled: contractTermSchema.default({ maxVusPrLoss: 0.03 }),
});
export type CompressionContract = z.infer<typeof compressionContractSchema>;

/** A term of the contract that a variant breaks. */
export const refusalSchema = z.object({
  rule: z.enum(['vus-pr-loss', 'agreement', 'worse-than-alone']),
  value: z.number(),
  limit: z.number(),
  message: z.string().max(500),
});
export type Refusal = z.infer<typeof refusalSchema>;

/** What ONNX Runtime makes of a variant's graph. */
export const optimisedGraphSchema = z.object({
  operators: z.record(z.string().max(64), z.number().int()),
  /** DequantizeLinear nodes that were not fused: each is a product that runs in float after all. */
  leftoverDequantize: z.array(z.string().max(200)),
  casts: z.array(z.string().max(200)),
});
export type OptimisedGraph = z.infer<typeof optimisedGraphSchema>;
