/** From a cluster to a server that accepts connections: the one that is still running, or a new one. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, escapeIdentifier } from 'pg';
import { messageOf, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import type { Cluster } from './cluster.ts';
import { DatabaseStartError } from './errors.ts';
import type { PostmasterFile } from './postmaster-file.ts';
import { judgeOwner, parsePostmasterFile } from './postmaster-file.ts';
import { viewProcess } from './process-table.ts';
import type { ServerLog } from './server-log.ts';
import type { ServerProcess } from './server-process.ts';
import { adoptServer, endOrphans, spawnServer, stopServer } from './server-process.ts';
import { serverSettings, settingsArguments, thisMachine } from './server-settings.ts';

export interface LaunchRequest {
  readonly cluster: Cluster;
  readonly socketFolder: string;
  readonly database: string;
  readonly log: ServerLog;
  readonly logger: Logger;
  readonly stopTimeoutMs: number;
}

/** SQLSTATEs of PostgreSQL (appendix A of its manual). */
const INVALID_PASSWORD = '28P01';
const INVALID_CATALOG_NAME = '3D000';
const CANNOT_CONNECT_NOW = '57P03';

const CONNECT_TIMEOUT_MS = 5_000;
const SLOW_START_MS = 10_000;

/** The URL of a database behind a Unix socket, as node-postgres and libpq understand it. */
export function socketUrl(
  cluster: Pick<Cluster, 'superuser' | 'password'>,
  socketFolder: string,
  database: string,
): string {
  const credentials = `${encodeURIComponent(cluster.superuser)}:${encodeURIComponent(cluster.password)}`;
  return `postgresql://${credentials}@/${encodeURIComponent(database)}?host=${encodeURIComponent(socketFolder)}`;
}

/**
 * Adopts a server that is still running with what we would start, stops one that runs with something else, or starts one; then makes sure
 * that we get in and that the database exists.
 *
 * @throws DatabaseStartError with the end of the server's log; the signal's reason when aborted, with no server left running
 */
export async function launchServer(request: LaunchRequest, signal: AbortSignal): Promise<ServerProcess> {
  const { cluster, log, logger } = request;
  const settings = { ...serverSettings(thisMachine(), request.socketFolder), cluster_name: cluster.name };
  const parameters = ['-D', cluster.dataFolder, ...settingsArguments(settings)];

  const left = await findLeftServer(request);
  if (left !== undefined) {
    if (await isAdoptable(left, [cluster.postgres, ...parameters], request, signal)) {
      logger.info({ pid: left.pid }, 'Adopted the database server that was still running');
      return left;
    }
    logger.warn({ pid: left.pid }, 'Stopping a database server that was left behind, to start anew');
    await stopServer(left, cluster, request.stopTimeoutMs);
    signal.throwIfAborted();
  }
  await endOrphans(cluster);

  const server = await spawnServer(cluster, parameters, log);
  try {
    await untilReady(server, request, signal);
    await enter(request, signal);
    return server;
  } catch (error) {
    await stopServer(server, cluster, request.stopTimeoutMs);
    signal.throwIfAborted();
    if (error instanceof DatabaseStartError) throw error;
    throw await startError(request, messageOf(error), error);
  }
}

/** A live server on this cluster; files of dead ones that would confuse PostgreSQL are removed. */
async function findLeftServer({ cluster, socketFolder, logger }: LaunchRequest): Promise<ServerProcess | undefined> {
  const file = await readPostmasterFile(cluster.dataFolder);
  if (file === undefined) return undefined;
  const verdict = judgeOwner(viewProcess(file.pid), cluster.dataFolder);
  if (verdict === 'server') return adoptServer(cluster, file.pid);
  if (verdict === 'taken') {
    logger.info({ pid: file.pid }, 'Removing the pid file of a dead database server, whose number something else has');
    await rm(join(cluster.dataFolder, 'postmaster.pid'), { force: true });
    await rm(join(socketFolder, '.s.PGSQL.5432.lock'), { force: true });
  }
  return undefined;
}

async function isAdoptable(
  left: ServerProcess,
  commandLine: readonly string[],
  request: LaunchRequest,
  signal: AbortSignal,
): Promise<boolean> {
  // With other settings or of another version: better restarted now than discovered later.
  const argv = viewProcess(left.pid)?.argv ?? [];
  if (argv.length !== commandLine.length || !argv.every((part, index) => part === commandLine[index])) return false;
  try {
    await untilReady(left, request, signal);
    await enter(request, signal);
    return true;
  } catch (error) {
    request.logger.warn(
      { pid: left.pid, reason: messageOf(error) },
      'A database server was left behind that does not answer',
    );
    return false;
  }
}

/** Waits as long as the server lives: recovery after a crash takes its time. */
async function untilReady(server: ServerProcess, request: LaunchRequest, signal: AbortSignal): Promise<void> {
  let ended: string | undefined;
  void server.exited.then((how) => (ended = how));
  const startedAt = performance.now();
  let nextWordMs = SLOW_START_MS;
  for (;;) {
    const file = await readPostmasterFile(request.cluster.dataFolder);
    if (file?.pid === server.pid && file.ready) return;
    if (ended !== undefined) throw await startError(request, ended);
    await sleep(10, signal);
    if (performance.now() - startedAt > nextWordMs) {
      request.logger.warn(
        { seconds: Math.round(nextWordMs / 1000) },
        'The database server is still starting (recovering after a crash)',
      );
      nextWordMs *= 2;
    }
  }
}

/** Opens a first connection, and makes the database when it is missing. */
async function enter(request: LaunchRequest, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      await query(request, request.database, 'SELECT 1');
      return;
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === INVALID_CATALOG_NAME) {
        await query(request, 'postgres', `CREATE DATABASE ${escapeIdentifier(request.database)}`);
      } else if (code === INVALID_PASSWORD) {
        throw new DatabaseStartError(
          `The database in ${request.cluster.location} does not accept the password in the data folder's postgres.password. Restore ` +
            `that file from the backup that the database came from, or move the database away to start with an empty one.`,
          { cause: error },
        );
      } else if (code === CANNOT_CONNECT_NOW) {
        await sleep(20, signal);
      } else {
        throw error;
      }
    }
  }
}

async function query({ cluster, socketFolder }: LaunchRequest, database: string, sql: string): Promise<void> {
  const client = new Client({
    connectionString: socketUrl(cluster, socketFolder, database),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  // A server that dies here fails the query too; the event must only not go unheard.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query(sql);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function startError({ cluster, log }: LaunchRequest, how: string, cause?: unknown): Promise<DatabaseStartError> {
  const lines = await log.lastLines();
  const said =
    lines.length === 0 ? 'It wrote nothing to its log.' : `The end of its log (${log.path}):\n${lines.join('\n')}`;
  return new DatabaseStartError(
    `The database server on ${cluster.dataFolder} did not start (${how}). ${said}\n` +
      `Free disk space, fix what the log names, or set DATABASE_URL to another PostgreSQL.`,
    { cause },
  );
}

async function readPostmasterFile(dataFolder: string): Promise<PostmasterFile | undefined> {
  // It belongs to the server: absent while there is none, half-written for a moment while it starts.
  const text = await readFile(join(dataFolder, 'postmaster.pid'), 'utf8').catch(() => '');
  return parsePostmasterFile(text);
}
