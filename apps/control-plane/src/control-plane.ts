import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { NestFactory } from '@nestjs/core';
import type { Logger } from '@drover/runtime';
import { messageOf } from '@drover/runtime';
import { AppModule } from './app.module.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from './config/config.ts';
import { ApiKeyService } from './modules/access/api-key.service.ts';
import { DEFAULT_FLEET } from './modules/access/access.guard.ts';
import { FleetService } from './modules/access/fleet.service.ts';
import { Database } from './platform/database/database.ts';
import { DataFolderLock } from './platform/database/embedded/data-folder-lock.ts';
import { prepareDataFolder } from './platform/database/embedded/data-folder.ts';
import { EmbeddedPostgres } from './platform/database/embedded/embedded-postgres.ts';
import { NoticeListener } from './platform/database/listener.ts';
import { migrate } from './platform/database/migrate.ts';
import { MIGRATIONS_FOLDER } from './platform/database/migrations-folder.ts';
import { sendProblem } from './platform/http/problem.filter.ts';
import { problemOf } from './platform/http/problem.ts';
import { KeyStore } from './platform/keys/key-store.ts';
import { MasterKey } from './platform/keys/master-key.ts';
import { Listeners } from './platform/listeners.ts';
import { nestLogger } from './platform/nest-logger.ts';
import { portProblem } from './platform/port-problem.ts';
import { Queues } from './platform/queue/queues.ts';
import { Readiness } from './platform/readiness.ts';
import { ArtifactStore } from './platform/storage/artifact-store.ts';

/** Longer than events take to be kept alive. */
const IDLE_TIMEOUT_MS = 60_000;
const HEADERS_TIMEOUT_MS = 15_000;
const REQUEST_TIMEOUT_MS = 3_600_000;

export interface StartOptions {
  readonly config: Config;
  readonly logger: Logger;
  /** Make another key for the instance administrator. */
  readonly newAdminKey?: boolean;
}

/** Everything this process runs, started in order and stopped in the reverse one. */
export class ControlPlane {
  readonly #options: StartOptions;
  readonly #stops: (() => Promise<void> | void)[] = [];
  #app: NestFastifyApplication | undefined;
  #adminKey: string | undefined;

  constructor(options: StartOptions) {
    this.#options = options;
  }

  /** The instance administrator's key, where this start has made one. Shown once, stored nowhere. */
  get adminKey(): string | undefined {
    return this.#adminKey;
  }

  get listeners(): Record<string, string> {
    return this.#app?.get(Listeners).all ?? {};
  }

  /** An instance of a provider; for tests. */
  get app(): NestFastifyApplication {
    if (!this.#app) throw new TypeError('the control plane has not been started');
    return this.#app;
  }

  /** Starts everything, or stops what had started and throws why it can't. */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      await this.stop().catch(() => undefined);
      throw error;
    }
  }

  async stop(): Promise<void> {
    while (this.#stops.length > 0) {
      const stop = this.#stops.pop()!;
      try {
        await stop();
      } catch (error) {
        this.#options.logger.warn({ err: messageOf(error) }, 'A part did not stop cleanly');
      }
    }
  }

  async #start(): Promise<void> {
    const { config, logger } = this.#options;
    const readiness = new Readiness();
    readiness.set('start', false, 'starting');
    const dataDir = await prepareDataFolder(config.process.DROVER_DATA_DIR);
    const connectionString = config.database.DATABASE_URL ?? (await this.#startPostgres(dataDir, readiness));
    await migrate({ connectionString, migrationsFolder: MIGRATIONS_FOLDER, logger });

    const database = new Database(connectionString, config.database.DROVER_DATABASE_POOL);
    this.#stops.push(() => database.stop());
    const listener = new NoticeListener(connectionString, logger);
    listener.start();
    this.#stops.push(() => listener.stop());
    const artifacts = new ArtifactStore(dataDir);
    await artifacts.start();
    const backend =
      config.queue.REDIS_URL === undefined
        ? ({ kind: 'postgres', connectionString } as const)
        : ({ kind: 'redis', connectionString: config.queue.REDIS_URL } as const);
    const queues = new Queues(backend, logger);
    this.#stops.push(() => queues.stop());
    const masterKey = await MasterKey.load(dataDir, config.process.DROVER_MASTER_KEY);

    const started = { config, logger, database, listener, masterKey, queues, artifacts, readiness };
    const adapter = new FastifyAdapter({
      bodyLimit: config.http.DROVER_MAX_BODY,
      forceCloseConnections: true,
      // Nobody keeps a connection by sending nothing or next to nothing; the longest request is an upload.
      connectionTimeout: IDLE_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      http: { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: 2_000 },
      routerOptions: { maxParamLength: 200 },
      // What Fastify refuses before there is a route: a path that cannot be decoded, for instance.
      frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
        sendProblem(reply, problemOf(error, request.url.split('?')[0])),
    });
    const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(started), adapter, {
      logger: nestLogger(logger),
      abortOnError: false,
    });
    this.#app = app;
    this.#stops.push(() => app.close());
    // Uploads are read as streams by their controller: nothing but JSON is parsed here.
    app
      .getHttpAdapter()
      .getInstance()
      .addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    await app.get(FleetService).ensureFirst(DEFAULT_FLEET);
    await app.get(KeyStore).start();
    await app.init();
    if (config.hasRole('api')) await this.#listen(app, config);
    this.#adminKey = await app.get(ApiKeyService).ensureInstanceKey(this.#options.newAdminKey ?? false);
    readiness.set('start', true);
  }

  async #startPostgres(dataDir: string, readiness: Readiness): Promise<string> {
    const { logger } = this.#options;
    const lock = new DataFolderLock(dataDir);
    lock.acquire();
    this.#stops.push(() => lock.release());
    const postgres = new EmbeddedPostgres({ dataDir, logger });
    postgres.onStateChange((state) => readiness.set('database', state === 'ready', state));
    this.#stops.push(() => postgres.stop());
    const { connectionString, location, created } = await postgres.start();
    readiness.set('database', true, 'ready');
    if (created && location !== join(dataDir, 'postgres'))
      logger.warn({ location }, 'The database lies outside the data folder, where the user it runs as can reach it');
    return connectionString;
  }

  async #listen(app: NestFastifyApplication, config: Config): Promise<void> {
    const { DROVER_HTTP_HOST: host, DROVER_HTTP_PORT: port } = config.http;
    try {
      await app.listen(port, host);
    } catch (error) {
      throw portProblem(error, 'DROVER_HTTP_PORT', host, port);
    }
    const address = app.getHttpServer().address() as AddressInfo;
    const shown = address.address.includes(':') ? `[${address.address}]` : address.address;
    app.get(Listeners).add('api', `http://${shown}:${address.port}`);
  }
}
