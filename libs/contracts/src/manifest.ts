import { z } from 'zod';
import { digestSchema, idSchema, instantSchema, nameSchema } from './ids.ts';
import { precisionSchema } from './tiers.ts';

/** Larger manifests are refused before they are parsed. */
export const MAX_MANIFEST_BYTES = 4 * 2 ** 20;

export const channelSchema = z.object({
  name: z.string().min(1).max(64),
  unit: z.string().max(32).optional(),
  kind: z.enum(['numeric', 'categorical']).default('numeric'),
  /** How samples that arrive faster than the rate become one. */
  resampling: z.enum(['mean', 'last', 'min', 'max', 'sum']).default('last'),
});
export type Channel = z.infer<typeof channelSchema>;

/** What a detector expects of its input. */
export const modelSignatureSchema = z.object({
  channels: z.array(channelSchema).min(1).max(256),
  /** Samples per second. */
  rateHz: z.number().positive().max(1_000_000),
  /** W: samples per window. */
  window: z.number().int().min(1).max(65_536),
  /** Samples from one window's start to the next. */
  stride: z.number().int().min(1).max(65_536),
  /** Windows after a start or reset whose scores are not acted on. */
  warmup: z.number().int().min(0).max(1_000_000),
  /** A longer gap in time between two samples starts the window anew. */
  maxGapMs: z.number().positive(),
  /** When `state.*` inputs start from zeros again. */
  stateReset: z.enum(['never', 'gap']).default('gap'),
});
export type ModelSignature = z.infer<typeof modelSignatureSchema>;

/** An alarm starts at `threshold`, ends under `threshold × releaseRatio`, and counts once `minLength` windows were over. */
export const thresholdPolicySchema = z.object({
  kind: z.literal('threshold'),
  threshold: z.number().positive(),
  releaseRatio: z.number().gt(0).max(1),
  minLength: z.number().int().min(1).max(10_000),
});

/** A distribution in few numbers: ascending values, each with the number of rows it stands for. */
const historySummarySchema = z
  .object({
    values: z.array(z.number()).max(1_024).readonly(),
    weights: z.array(z.number().positive()).max(1_024).readonly(),
  })
  .refine(({ values, weights }) => values.length === weights.length, 'values and weights must be as many')
  .refine(({ values }) => values.every((value, i) => i === 0 || value > values[i - 1]!), 'values must ascend');

/**
 * How unusual each signal is by its own running history, as −log₁₀ of its tail probability; an alarm where the mean over the
 * signals reaches the threshold. An alarm raises the bar for the next ones for a while.
 */
export const tailPolicySchema = z.object({
  kind: z.literal('tail'),
  threshold: z.number().positive().max(300),
  /** Share of the history on each side that probabilities are extrapolated from. */
  tailShare: z.number().gt(0).lt(0.5),
  /** Most that one signal counts. */
  cap: z.number().positive().max(300),
  /** For this share of the rows seen, what follows an alarm has to be clearly higher. */
  refractoryShare: z.number().min(0).max(1),
  clearRatio: z.number().min(1).max(100),
  /** Rows that a history goes back. */
  horizonRows: z.number().int().min(100).max(10_000_000),
  /** Per signal: whether small values are unusual as well; those not named are `both`. */
  sides: z
    .array(z.enum(['both', 'upper']))
    .max(64)
    .readonly()
    .optional(),
  /** Per signal: its values in normal operation. */
  prior: z.array(historySummarySchema).max(64).readonly().optional(),
});
export const decisionPolicySchema = z.discriminatedUnion('kind', [thresholdPolicySchema, tailPolicySchema]);
export type DecisionPolicy = z.infer<typeof decisionPolicySchema>;

export const artifactRefSchema = z.object({
  role: z.enum(['model', 'data']),
  digest: digestSchema,
  sizeBytes: z.number().int().positive(),
  /** How the artifact's bytes become the file: as they are, or by Zstandard, where zeros of a pruned model would be sent. */
  encoding: z.enum(['identity', 'zstd']).default('identity'),
  /** Of the file, where it is encoded: no more than this is ever unpacked. */
  decodedSizeBytes: z
    .number()
    .int()
    .positive()
    .max(4 * 2 ** 30)
    .optional(),
});
export type ArtifactRef = z.infer<typeof artifactRefSchema>;

/** Quality on labelled or held-out data; absent where there was none to measure on. Shares are 0 to 1. */
export const metricsSchema = z.object({
  f1: z.number().min(0).max(1).optional(),
  far: z.number().min(0).max(1).optional(),
  mar: z.number().min(0).max(1).optional(),
  /** Volume under the surface of precision and recall over buffer lengths (Paparrizos et al., 2022). */
  vusPr: z.number().min(0).max(1).optional(),
  /** Of events, each counted once: a labelled interval is found by any alarm in it. */
  eventPrecision: z.number().min(0).max(1).optional(),
  eventRecall: z.number().min(0).max(1).optional(),
  eventF1: z.number().min(0).max(1).optional(),
  /** Median time from an event's start to its alarm, of the events found. */
  detectionDelayMs: z.number().min(0).optional(),
  falseAlarmsPerDay: z.number().min(0).optional(),
  /** VUS-PR of fp32 less this variant's; negative where this one is better. */
  vusPrLoss: z.number().min(-1).max(1).optional(),
  /** Where the figures come from: labelled recordings, or held-out normal ones with faults put in. */
  measuredOn: z.enum(['labelled', 'synthetic']).optional(),
  /** Share of windows decided as fp32 decides them. */
  agreement: z.number().min(0).max(1).optional(),
  /** Quantiles of the score on normal data, by quantile name (`p50`, `p99`). */
  scoreQuantiles: z.record(z.string().max(16), z.number()).optional(),
});
export type Metrics = z.infer<typeof metricsSchema>;

/** What running a variant takes, counted on its graph. */
export const costSchema = z.object({
  parameters: z.number().int().min(0),
  /** Multiplications with addition, per window. */
  multiplyAccumulates: z.number().int().min(0),
  /** Weights and the largest set of values that are needed at one time, for one window. */
  peakMemoryBytes: z.number().int().min(0),
});
export type Cost = z.infer<typeof costSchema>;

/** float32 little-endian bytes in base64. */
export const floatsSchema = z.base64().max(2 * 2 ** 20);

/** Expected outputs for the manifest's golden windows: a variant that does not reproduce them is refused. */
export const goldenOutputsSchema = z.object({
  /** `[K, S]` */
  score: floatsSchema,
  /** `[K, C]` */
  contributions: floatsSchema,
  /** |got − expected| ≤ absolute + relative × |expected| */
  absoluteTolerance: z.number().min(0),
  relativeTolerance: z.number().min(0),
});
export type GoldenOutputs = z.infer<typeof goldenOutputsSchema>;

export const variantSchema = z.object({
  /** Unique in the release, e.g. `int8`. */
  name: idSchema,
  precision: precisionSchema,
  /** Size class of the network: `full`, `pruned-50` (neurons taken out), `sparse-50` (weights set to zero), `student`. */
  size: idSchema.default('full'),
  runtime: z.literal('onnxruntime'),
  artifacts: z.array(artifactRefSchema).min(1).max(16),
  policy: decisionPolicySchema,
  metrics: metricsSchema,
  cost: costSchema.optional(),
  golden: goldenOutputsSchema,
  /** Providers in the order to try; the CPU is always the last resort. */
  providers: z.array(z.string().max(32)).max(8).optional(),
  /** Smallest memory of a machine that this variant is offered to. */
  minMemoryBytes: z.number().int().min(0).optional(),
});
export type Variant = z.infer<typeof variantSchema>;

/** The signed description of a release. Its own bytes are an artifact too. */
export const manifestSchema = z.object({
  format: z.literal('drover.manifest/1'),
  fleet: idSchema,
  model: z.object({ id: idSchema, name: nameSchema }),
  release: z.object({ id: idSchema, version: z.number().int().min(1) }),
  createdAt: instantSchema,
  family: z.string().max(64),
  signature: modelSignatureSchema,
  golden: z.object({
    /** K windows. */
    count: z.number().int().min(1).max(256),
    /** `[K, W, C]` */
    window: floatsSchema,
  }),
  variants: z
    .array(variantSchema)
    .min(1)
    .max(32)
    .refine((list) => new Set(list.map((v) => v.name)).size === list.length, 'variant names must be unique'),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** The artifact that names a variant in provenance: its model file. */
export function variantDigest(variant: Pick<Variant, 'artifacts'>): string {
  const model = variant.artifacts.find((artifact) => artifact.role === 'model');
  return (model ?? variant.artifacts[0]!).digest;
}
