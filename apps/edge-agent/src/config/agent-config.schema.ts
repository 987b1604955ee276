import { z } from 'zod';
import { idSchema, nameSchema, tagsSchema } from '@drover/contracts';
import { LOG_LEVELS, sizeBytes } from '@drover/runtime';
import { BOARD_NAMES } from '../identity/boards.ts';

/** Replays a recording as if its machine ran now. */
const csvSensorSchema = z.strictObject({
  type: z.literal('csv'),
  /** Relative paths are relative to the configuration file. */
  path: z.string().min(1),
  /** Times real time. */
  speed: z.number().positive().max(1_000_000).default(1),
  loop: z.boolean().default(false),
  /**
   * `now`: samples carry the time at which they are replayed, so their spacing is the recorded one divided by `speed`.
   * `recorded`: samples carry their recorded times, as far as the model can tell nothing runs faster.
   */
  time: z.enum(['now', 'recorded']).default('now'),
});

/** The machine that the agent runs on. */
const hostSensorSchema = z.strictObject({
  type: z.literal('host'),
  intervalMs: z.number().int().min(10).max(3_600_000).default(1_000),
});

export const sensorConfigSchema = z.discriminatedUnion('type', [csvSensorSchema, hostSensorSchema]);
export type SensorConfig = z.output<typeof sensorConfigSchema>;
export type CsvSensorConfig = z.output<typeof csvSensorSchema>;
export type HostSensorConfig = z.output<typeof hostSensorSchema>;

export const pipelineConfigSchema = z.strictObject({ sensor: idSchema });

const deviceUrl = z
  .url({ protocol: /^https$/, message: 'must be the https:// address of the control plane’s device listener' })
  .transform((url) => url.replace(/\/+$/, ''));

const byteSize = z.union([z.number().int().positive(), sizeBytes]);

/** What a configuration file, with the environment laid over it, may say. Unknown keys are errors: they are mostly typos. */
export const agentConfigSchema = z
  .strictObject({
    /** The control plane's device listener. Needed for the first start only; then the identity knows it. */
    url: deviceUrl.optional(),
    /** Enrolment token. Needed for the first start only. */
    token: z.string().min(1).optional(),
    dataDir: z.string().min(1).default('.drover-agent'),
    name: nameSchema.optional(),
    tags: tagsSchema.default({}),
    profile: z.enum(BOARD_NAMES, { error: `must be one of ${BOARD_NAMES.join(', ')}` }).optional(),
    logLevel: z.enum(LOG_LEVELS).default('info'),
    sensors: z.record(idSchema, sensorConfigSchema).default({ host: { type: 'host', intervalMs: 1_000 } }),
    pipelines: z.record(idSchema, pipelineConfigSchema).optional(),
    store: z
      .strictObject({
        /** The store of messages on their way never takes more. */
        maxBytes: byteSize.default(256 * 2 ** 20),
      })
      .prefault({}),
    inference: z
      .strictObject({
        /** Package name or absolute path of another build of onnxruntime-node, e.g. one with CUDA for a Jetson. */
        runtime: z.string().min(1).optional(),
        threads: z.number().int().min(1).max(64).default(1),
      })
      .prefault({}),
    models: z
      .strictObject({
        /** Free space that downloads leave on the disk. */
        reserveBytes: byteSize.default(64 * 2 ** 20),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    for (const [name, pipeline] of Object.entries(config.pipelines ?? {})) {
      if (config.sensors[pipeline.sensor] === undefined) {
        context.addIssue({
          code: 'custom',
          path: ['pipelines', name, 'sensor'],
          message: `names no configured sensor: "${pipeline.sensor}" is none of ${Object.keys(config.sensors).join(', ')}`,
        });
      }
    }
  })
  .transform((config) => ({
    ...config,
    // A device with sensors and no pipelines offers one pipeline per sensor, under the sensor's name.
    pipelines:
      config.pipelines ?? Object.fromEntries(Object.keys(config.sensors).map((name) => [name, { sensor: name }])),
  }));
export type AgentConfig = z.output<typeof agentConfigSchema>;
