import { z } from 'zod';
import { digestSchema, epochMsSchema, idSchema } from './ids.ts';
import { executionReportSchema, reportedStateSchema } from './twin.ts';

/**
 * What devices send. Every message of a delivery class carries `{bootId, class, seq}`, given when it was written to the
 * agent's store: the server deduplicates on (device, bootId, class, seq).
 */

/** Larger packets are refused before they are parsed. */
export const MAX_DEVICE_PACKET_BYTES = 256 * 2 ** 10;
/** Chunks stay under 64 KiB: brokers and small devices choke on larger packets. */
export const MAX_CHUNK_BYTES = 60 * 2 ** 10;

/** `m` measurements, `e` events, `s` state. When a store is full, `m` is dropped before anything else. */
export const DELIVERY_CLASSES = ['m', 'e', 's'] as const;
export type DeliveryClass = (typeof DELIVERY_CLASSES)[number];

export const deliverySchema = z.object({
  bootId: idSchema,
  class: z.enum(DELIVERY_CLASSES),
  seq: z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
});
export type Delivery = z.infer<typeof deliverySchema>;

const channelNames = z.array(z.string().min(1).max(64)).min(1).max(256);
/** null is a missing value. */
const valueSchema = z.number().nullable();

/** One sample on a stream. */
export const sampleMessageSchema = deliverySchema.extend({
  class: z.literal('m'),
  t: epochMsSchema,
  channels: channelNames,
  values: z.array(valueSchema).max(256),
});
/** Many samples: column-major; either evenly spaced (`t0`, `dt`) or with a time each (`times`). */
export const batchMessageSchema = deliverySchema
  .extend({
    class: z.literal('m'),
    t0: epochMsSchema.optional(),
    dt: z.number().positive().optional(),
    times: z.array(epochMsSchema).max(16_384).optional(),
    channels: channelNames,
    columns: z.array(z.array(valueSchema).min(1).max(16_384)).max(256),
  })
  .refine((batch) => batch.columns.length === batch.channels.length, {
    path: ['columns'],
    message: 'one column per channel',
  })
  .refine((batch) => batch.columns.every((column) => column.length === batch.columns[0]!.length), {
    path: ['columns'],
    message: 'columns must have the same length',
  })
  .refine(
    (batch) =>
      batch.times === undefined
        ? batch.t0 !== undefined && batch.dt !== undefined
        : batch.times.length === (batch.columns[0]?.length ?? 0) && batch.t0 === undefined && batch.dt === undefined,
    { path: ['times'], message: 'either t0 and dt, or one time per row' },
  );
export type SampleMessage = z.infer<typeof sampleMessageSchema>;
export type BatchMessage = z.infer<typeof batchMessageSchema>;

export const ANOMALY_STATES = ['open', 'closed'] as const;
/** An interval in which the score stayed over its threshold. Upserted by `id`; the highest `revision` wins. */
export const anomalySchema = z.object({
  id: idSchema,
  revision: z.number().int().min(1),
  pipeline: idSchema,
  state: z.enum(ANOMALY_STATES),
  startedAt: epochMsSchema,
  endedAt: epochMsSchema.nullable(),
  peakAt: epochMsSchema,
  peakScore: z.number(),
  threshold: z.number(),
  windows: z.number().int().min(1),
  /** Shares of the peak's score, largest first. */
  contributions: z.array(z.object({ channel: z.string().max(64), share: z.number() })).max(16),
  release: idSchema,
  variant: idSchema,
  variantDigest: digestSchema,
  provider: z.string().max(32),
  calibrationVersion: z.number().int().nullable(),
  rollout: idSchema.nullable(),
});
export type Anomaly = z.infer<typeof anomalySchema>;

export const anomalyMessageSchema = deliverySchema.extend({ class: z.literal('e'), anomaly: anomalySchema });
export const executionMessageSchema = deliverySchema.extend({
  class: z.literal('e'),
  execution: executionReportSchema,
});
export const benchmarkMessageSchema = deliverySchema.extend({
  class: z.literal('e'),
  benchmark: z.object({
    pipeline: idSchema,
    release: idSchema,
    variant: idSchema,
    variantDigest: digestSchema,
    provider: z.string().max(32),
    /** 0: dropped before it could be measured, for `reason`; then the times mean nothing. */
    runs: z.number().int().min(0),
    p50Us: z.number(),
    p95Us: z.number(),
    p99Us: z.number(),
    /** Resident memory of the process while the variant was loaded. */
    memoryBytes: z.number().int().min(0).optional(),
    /** Of the hottest thermal zone, before and after; null where the board tells none. */
    temperature: z.object({ beforeC: z.number(), afterC: z.number() }).nullable().optional(),
    /** Whether the device took this variant, and why or why not. */
    chosen: z.boolean().optional(),
    reason: z.string().max(200).optional(),
    at: epochMsSchema,
  }),
});
/** What a log line can say besides its text: flat, so that no nesting has to be followed. */
const logValueSchema = z.union([z.string().max(2_000), z.number(), z.boolean(), z.null()]);
export const logFieldsSchema = z.record(z.string().max(64), z.union([logValueSchema, z.array(logValueSchema).max(64)]));
export type LogFields = z.infer<typeof logFieldsSchema>;
export const logMessageSchema = deliverySchema.extend({
  class: z.literal('e'),
  log: z.object({
    at: epochMsSchema,
    level: z.enum(['info', 'warn', 'error']),
    code: z.string().max(64),
    message: z.string().max(2_000),
    fields: logFieldsSchema.optional(),
  }),
});
export const reportedMessageSchema = deliverySchema.extend({ class: z.literal('s'), reported: reportedStateSchema });
export const commandStatusMessageSchema = deliverySchema.extend({
  class: z.literal('e'),
  status: z.enum(['SUCCEEDED', 'FAILED', 'REJECTED']),
  message: z.string().max(2_000).nullable(),
});

export type AnomalyMessage = z.infer<typeof anomalyMessageSchema>;
export type ExecutionMessage = z.infer<typeof executionMessageSchema>;
export type BenchmarkMessage = z.infer<typeof benchmarkMessageSchema>;
export type LogMessage = z.infer<typeof logMessageSchema>;
export type ReportedMessage = z.infer<typeof reportedMessageSchema>;
export type CommandStatusMessage = z.infer<typeof commandStatusMessageSchema>;

/** Retained; also the last will with `online: false`. Renewed as a heartbeat. Not of a delivery class: only the newest counts. */
export const statusMessageSchema = z.object({
  online: z.boolean(),
  bootId: idSchema,
  agent: z.string().max(64).optional(),
  desiredSeen: z.object({ epoch: z.number().int().min(0), version: z.number().int().min(0) }).optional(),
  at: epochMsSchema.optional(),
});
export type StatusMessage = z.infer<typeof statusMessageSchema>;

/** Asks for `length` bytes of an artifact from `offset`; answered on `chunk/{digest}/{offset}`, empty where it may not be had. */
export const getChunkSchema = z.object({
  digest: digestSchema,
  offset: z
    .number()
    .int()
    .min(0)
    .max(2 ** 40),
  length: z.number().int().min(1).max(MAX_CHUNK_BYTES),
});
export const getTimeSchema = z.object({ sentAt: epochMsSchema });

/**
 * From the server. `mode` says what a PUBACK is worth on this connection: `puback` (the embedded broker: it is the
 * commit) or `ack` (an external broker: only `committed` here is). Sent after each online status.
 */
export const ackMessageSchema = z.object({
  mode: z.enum(['puback', 'ack']).optional(),
  bootId: idSchema.optional(),
  /** Inclusive ranges of sequence numbers, by class. */
  committed: z
    .partialRecord(z.enum(DELIVERY_CLASSES), z.array(z.tuple([z.number().int(), z.number().int()])))
    .optional(),
  time: z.object({ sentAt: epochMsSchema, serverAt: epochMsSchema }).optional(),
});
export type AckMessage = z.infer<typeof ackMessageSchema>;

/** What a command asks; the payload of an envelope of kind `command`. */
export const commandSchema = z.discriminatedUnion('type', [
  /** Decommissioned: remove keys, certificate, models and stored messages, and stop. */
  z.object({ type: z.literal('erase'), id: idSchema }),
  /** Ask for the certificate to be renewed now. */
  z.object({ type: z.literal('renew'), id: idSchema }),
  /** Send every raw sample of a pipeline's sensor for a while, on a stream named by the command's id. */
  z.object({
    type: z.literal('capture'),
    id: idSchema,
    pipeline: idSchema,
    durationMs: z.number().int().min(1_000).max(86_400_000),
  }),
]);
export type Command = z.infer<typeof commandSchema>;
