import { resolve } from 'node:path';
import { InvalidConfigError, LOG_LEVELS, durationMs, flag, loadConfig, port, sizeBytes } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import { z } from 'zod';

const ROLES = ['api', 'gateway', 'worker'] as const;
export type ProcessRole = (typeof ROLES)[number];

const hosts = z
  .string()
  .transform((text) =>
    text
      .split(',')
      .map((host) => host.trim())
      .filter((host) => host !== ''),
  )
  .pipe(
    z
      .array(z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, 'must be host names or IP addresses, comma-separated'))
      .min(1)
      .max(32),
  );

const brokerUrls = z
  .string()
  .transform((text) =>
    text
      .split(',')
      .map((url) => url.trim())
      .filter((url) => url !== ''),
  )
  .pipe(
    z
      .array(z.string().regex(/^mqtts?:\/\/[^/@]+$/, 'must be mqtts:// URLs, comma-separated'))
      .min(1)
      .max(8),
  );

const DAY_MS = 86_400_000;

/** Timers take no more than 24 days, and a time of nothing would keep the process busy. */
function durationBetween(leastMs: number, mostMs: number) {
  return durationMs.pipe(
    z
      .number()
      .min(leastMs, `must be at least ${leastMs} ms`)
      .max(mostMs, `must be at most ${mostMs / DAY_MS} days`),
  );
}

/** An authority is made for ten years; certificates end well before it. */
const certificateLifetime = durationBetween(1_000, 825 * DAY_MS).default(90 * DAY_MS);

/** What this process is and where it keeps its data. */
export const processConfigSchema = z.object({
  /** Folder of everything that must survive: database, artifacts, master key. */
  DROVER_DATA_DIR: z
    .string()
    .default('./.drover')
    .transform((path) => resolve(path)),
  /** Roles of this process, comma-separated: `api`, `gateway`, `worker`. */
  DROVER_ROLES: z
    .string()
    .default(ROLES.join(','))
    .transform((text) => text.split(',').map((role) => role.trim()))
    .pipe(z.array(z.enum(ROLES)).min(1)),
  DROVER_LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  /** 32 bytes in base64 that seal the private keys in the database; made in the data folder where it is not given. */
  DROVER_MASTER_KEY: z.base64().optional(),
});

/** The REST API (and later the dashboard). */
export const httpConfigSchema = z.object({
  DROVER_HTTP_HOST: z.string().default('127.0.0.1'),
  DROVER_HTTP_PORT: port.default(8080),
  /** Largest JSON body. */
  DROVER_MAX_BODY: sizeBytes
    .pipe(
      z
        .number()
        .min(2 ** 10)
        .max(2 ** 28),
    )
    .default(2 ** 20),
  /** Largest uploaded artifact. */
  DROVER_MAX_ARTIFACT: sizeBytes
    .pipe(
      z
        .number()
        .min(1)
        .max(2 ** 50),
    )
    .default(2 ** 30),
});

/** The listeners that devices and integrations use. */
export const deviceConfigSchema = z.object({
  /** Hosts that devices reach this server by: in its certificate and in what devices are told. The first is preferred. */
  DROVER_PUBLIC_HOSTS: hosts.default(['localhost', '127.0.0.1']),
  DROVER_DEVICE_HOST: z.string().default('0.0.0.0'),
  DROVER_DEVICE_HTTPS_PORT: port.default(8443),
  DROVER_MQTT_PORT: port.default(8883),
  DROVER_EVENTS_MQTT_PORT: port.default(8884),
  /** A broker of its own in the place of the embedded one, e.g. `mqtts://gateway:password@broker:8883`; lets several gateways share the devices. */
  MQTT_URL: z
    .string()
    .regex(/^mqtts?:\/\/[^/]+\/?$/, 'must be an mqtts:// or mqtt:// URL without a path')
    .optional(),
  /** PEM files: the authority of that broker's certificate, and the certificate and key that the gateway shows to it. */
  MQTT_CA_FILE: z.string().optional(),
  MQTT_CERT_FILE: z.string().optional(),
  MQTT_KEY_FILE: z.string().optional(),
  /** Where devices reach that broker, comma-separated; where it is not given, MQTT_URL's host and port. */
  DROVER_DEVICE_MQTT_URLS: brokerUrls.optional(),
  /** Plain MQTT without TLS, on loopback only, for development. Absent: none. */
  DROVER_DEV_MQTT_PORT: port.optional(),
  /** How long a device's certificate is valid; agents renew after two thirds. */
  DROVER_CERTIFICATE_LIFETIME: certificateLifetime,
  /** How long the server's own certificate is valid; renewed after two thirds. */
  DROVER_SERVER_CERTIFICATE_LIFETIME: certificateLifetime,
  /** A device that was not heard of for this long is offline. */
  DROVER_PRESENCE_LEASE: durationBetween(1_000, 7 * DAY_MS).default(90_000),
});

/** PostgreSQL: the embedded one, unless a URL names another. */
export const databaseConfigSchema = z.object({
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must be a postgresql:// URL')
    // No host where `?host=` names the folder of a Unix socket: PostgreSQL's own tools take that, the URL standard does not.
    .refine((url) => URL.canParse(url.replace('@/', '@localhost/')), 'must be a valid URL')
    .optional(),
  DROVER_DATABASE_POOL: z.coerce.number().int().min(4).max(200).default(20),
  /** Samples older than this are removed; 0 keeps them. */
  DROVER_RETENTION: durationBetween(0, 100 * 365 * DAY_MS).default(0),
  /** Events older than this are removed; who resumes behind them goes on with the oldest that is kept. 0 keeps them. */
  DROVER_EVENT_RETENTION: durationBetween(0, 100 * 365 * DAY_MS).default(30 * DAY_MS),
});

export const queueConfigSchema = z.object({
  /** BullMQ on Redis instead of PostgreSQL. */
  REDIS_URL: z
    .string()
    .regex(/^rediss?:\/\//, 'must be a redis:// or rediss:// URL')
    // No host where `?host=` names the folder of a Unix socket: PostgreSQL's own tools take that, the URL standard does not.
    .refine((url) => URL.canParse(url.replace('@/', '@localhost/')), 'must be a valid URL')
    .optional(),
  /** How often the reconciler derives missing jobs from rows. */
  DROVER_RECONCILE_EVERY: durationBetween(50, DAY_MS).default(5_000),
  /** Share of devices that measure all variants of a release though their tier has learned which one to take. */
  DROVER_REMEASURE_SHARE: z.coerce.number().min(0).max(1).default(0.05),
  /** After a capture's duration, its samples are waited for this long. */
  DROVER_CAPTURE_GRACE: durationBetween(0, DAY_MS).default(60_000),
  /** Builds at the same time, per process. */
  DROVER_MAX_RELEASE_BUILDS: z.coerce.number().int().min(1).max(16).default(1),
  /** A build that takes longer has failed. */
  DROVER_BUILD_TIMEOUT: durationBetween(100, 7 * DAY_MS).default(3_600_000),
  /** What one build may use, heap and buffers together; a build that needs more has failed. */
  DROVER_BUILD_MEMORY: sizeBytes
    .pipe(
      z
        .number()
        .min(64 * 2 ** 20)
        .max(2 ** 40),
    )
    .default(2 * 2 ** 30),
});

export { flag };

/** The whole configuration, parsed once at start. A provider: inject it by its class. */
export class Config {
  readonly process: z.output<typeof processConfigSchema>;
  readonly http: z.output<typeof httpConfigSchema>;
  readonly device: z.output<typeof deviceConfigSchema>;
  readonly database: z.output<typeof databaseConfigSchema>;
  readonly queue: z.output<typeof queueConfigSchema>;

  /** @throws InvalidConfigError listing every problem of every section */
  constructor(env: Record<string, string | undefined>) {
    const problems: FieldProblem[] = [];
    const section = <T extends z.ZodType>(schema: T): z.output<T> => {
      try {
        return loadConfig(schema, env);
      } catch (error) {
        if (!(error instanceof InvalidConfigError)) throw error;
        problems.push(...error.problems);
        return undefined as z.output<T>;
      }
    };
    this.process = section(processConfigSchema);
    this.http = section(httpConfigSchema);
    this.device = section(deviceConfigSchema);
    this.database = section(databaseConfigSchema);
    this.queue = section(queueConfigSchema);
    if (problems.length > 0) {
      throw new InvalidConfigError(`Configuration:\n${problems.map((p) => `  ${p.path}: ${p.message}`).join('\n')}`, {
        problems,
      });
    }
  }

  hasRole(role: ProcessRole): boolean {
    return this.process.DROVER_ROLES.includes(role);
  }
}
