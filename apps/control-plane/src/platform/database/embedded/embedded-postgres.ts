/**
 * The PostgreSQL that Drover brings along: real server binaries, run and watched as a child process, reachable only through a Unix socket.
 *
 * Take the data folder's lock (`DataFolderLock`) first: a second control plane on one folder would adopt the first one's server.
 */
import { join } from 'node:path';
import { Backoff, messageOf, sleep, systemClock } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import type { Cluster, SystemFolders } from './cluster.ts';
import { defaultSystemFolders, openCluster } from './cluster.ts';
import { prepareDataFolder } from './data-folder.ts';
import { DatabaseStartError } from './errors.ts';
import type { LaunchRequest } from './server-launch.ts';
import { launchServer, socketUrl } from './server-launch.ts';
import { ServerLog } from './server-log.ts';
import type { ServerProcess } from './server-process.ts';
import { stopServer } from './server-process.ts';
import { makeSocketFolder, removeSocketFolder } from './socket-folder.ts';

export type EmbeddedPostgresState = 'starting' | 'ready' | 'restarting' | 'stopped';

export interface EmbeddedPostgresOptions {
  /** Drover's data folder; made when missing. */
  readonly dataDir: string;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** How long a shutdown may take before clients and checkpoint are no longer waited for. */
  readonly stopTimeoutMs?: number;
  /** Instead of the system's folders, for what cannot lie in the data folder. */
  readonly systemFolders?: SystemFolders;
}

export interface EmbeddedDatabase {
  /** `postgresql://user:password@/drover?host=…`; stays the same over restarts of the server. */
  readonly connectionString: string;
  readonly socketFolder: string;
  /** Where the database lies. */
  readonly location: string;
  /** True when this start made the database. */
  readonly created: boolean;
  /** True when the server was still running. */
  readonly adopted: boolean;
}

const DATABASE = 'drover';
/** A server that has been up for this long has not failed to start. */
const STABLE_MS = 60_000;
const LOG_CHECK_MS = 60_000;

export class EmbeddedPostgres {
  readonly #options: EmbeddedPostgresOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #stopTimeoutMs: number;
  readonly #listeners = new Set<(state: EmbeddedPostgresState) => void>();
  #state: EmbeddedPostgresState = 'stopped';
  #lifetime: AbortController | undefined;
  #starting: Promise<EmbeddedDatabase> | undefined;
  #supervision: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #request: LaunchRequest | undefined;
  #server: ServerProcess | undefined;

  constructor(options: EmbeddedPostgresOptions) {
    this.#options = options;
    this.#logger = options.logger.child({ part: 'embedded-postgres' });
    this.#clock = options.clock ?? systemClock;
    this.#stopTimeoutMs = options.stopTimeoutMs ?? 30_000;
  }

  get state(): EmbeddedPostgresState {
    return this.#state;
  }

  /** Of the postmaster, while there is one. */
  get pid(): number | undefined {
    return this.#server?.pid;
  }

  /** Calls the listener, which must not throw, at every change; the returned function ends that. */
  onStateChange(listener: (state: EmbeddedPostgresState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Starts (initialising first when there is no database yet) and supervises until `stop`. Aborting the signal while this runs undoes what it
   * did; later it has no effect.
   *
   * @throws the errors of `errors.ts`
   */
  async start(signal?: AbortSignal): Promise<EmbeddedDatabase> {
    if (this.#lifetime !== undefined) {
      throw new DatabaseStartError(
        'This embedded PostgreSQL is running already, or being stopped; wait for its stop first.',
      );
    }
    const lifetime = new AbortController();
    this.#lifetime = lifetime;
    this.#setState('starting');
    const either = signal === undefined ? lifetime.signal : AbortSignal.any([signal, lifetime.signal]);
    this.#starting = this.#open(either);
    try {
      const database = await this.#starting;
      this.#setState('ready');
      this.#supervision = this.#supervise(lifetime.signal);
      return database;
    } catch (error) {
      this.#lifetime = undefined;
      this.#setState('stopped');
      throw error;
    } finally {
      this.#starting = undefined;
    }
  }

  /** Stops the server, also an adopted one, and leaves no process behind. Harmless when nothing runs. */
  stop(): Promise<void> {
    this.#stopping ??= this.#shutDown().finally(() => (this.#stopping = undefined));
    return this.#stopping;
  }

  async #open(signal: AbortSignal): Promise<EmbeddedDatabase> {
    signal.throwIfAborted();
    const dataDir = await prepareDataFolder(this.#options.dataDir);
    const folders = this.#options.systemFolders ?? defaultSystemFolders(dataDir);
    const cluster = await openCluster(dataDir, folders, this.#logger, signal);
    const socketFolder = await makeSocketFolder(cluster.location, cluster.user);
    this.#request = {
      cluster,
      socketFolder,
      database: DATABASE,
      log: new ServerLog(join(dataDir, 'postgres.log')),
      logger: this.#logger,
      stopTimeoutMs: this.#stopTimeoutMs,
    };
    try {
      this.#server = await launchServer(this.#request, signal);
    } catch (error) {
      await removeSocketFolder(socketFolder, cluster.location);
      throw error;
    }
    return describe(cluster, socketFolder, this.#server);
  }

  /** Replaces the server whenever it ends, until the signal aborts. */
  async #supervise(signal: AbortSignal): Promise<void> {
    const request = this.#request;
    if (request === undefined) return;
    const backoff = new Backoff(100, 10_000);
    if (signal.aborted) return;
    const stopped = new Promise<undefined>((resolve) => {
      signal.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    const logCheck = setInterval(() => void request.log.trim().catch(() => undefined), LOG_CHECK_MS).unref();
    try {
      while (this.#server !== undefined && !signal.aborted) {
        const readyAt = this.#clock.monotonic();
        const how = await Promise.race([this.#server.exited, stopped]);
        if (how === undefined || signal.aborted) return;
        this.#logger.error({ pid: this.#server.pid, how }, 'The database server ended unexpectedly; restarting it');
        this.#server = undefined;
        this.#setState('restarting');
        if (this.#clock.monotonic() - readyAt > STABLE_MS) backoff.reset();
        this.#server = await this.#relaunch(request, backoff, signal);
        if (this.#server === undefined) return;
        this.#logger.info({ pid: this.#server.pid }, 'The database server is back');
        this.#setState('ready');
      }
    } finally {
      clearInterval(logCheck);
    }
  }

  async #relaunch(request: LaunchRequest, backoff: Backoff, signal: AbortSignal): Promise<ServerProcess | undefined> {
    for (;;) {
      try {
        await sleep(backoff.next(), signal);
        return await launchServer(request, signal);
      } catch (error) {
        if (signal.aborted) return undefined;
        this.#logger.error({ reason: messageOf(error) }, 'The database server cannot be restarted; trying again');
      }
    }
  }

  async #shutDown(): Promise<void> {
    const lifetime = this.#lifetime;
    if (lifetime === undefined) return;
    lifetime.abort(new DatabaseStartError('The embedded PostgreSQL was stopped.'));
    await this.#starting?.catch(() => undefined);
    await this.#supervision;
    if (this.#server !== undefined && this.#request !== undefined) {
      const { cluster, socketFolder } = this.#request;
      await stopServer(this.#server, cluster, this.#stopTimeoutMs);
      await removeSocketFolder(socketFolder, cluster.location);
    }
    this.#server = undefined;
    this.#supervision = undefined;
    this.#lifetime = undefined;
    this.#setState('stopped');
  }

  #setState(state: EmbeddedPostgresState): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }
}

function describe(cluster: Cluster, socketFolder: string, server: ServerProcess): EmbeddedDatabase {
  return {
    connectionString: socketUrl(cluster, socketFolder, DATABASE),
    socketFolder,
    location: cluster.location,
    created: cluster.created,
    adopted: server.adopted,
  };
}
