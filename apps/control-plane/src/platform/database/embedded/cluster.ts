/**
 * The database cluster of a data folder: found, or made at the first start.
 *
 * INVARIANT: `<location>` is complete or does not exist. `initdb` works in a sibling that is renamed when all is on disk, so a start that
 * was killed half-way leaves only a sibling, which the next start removes.
 */
import { createHash, randomBytes } from 'node:crypto';
import { chown, lstat, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { syncFolder, writeFileAtomic } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { locateDatabase, markInitialised, ownerOfDatabase } from './database-location.ts';
import { DatabaseDamagedError, DatabaseUserError, DatabaseVersionMismatchError } from './errors.ts';
import { runInitdb } from './initdb.ts';
import type { PostgresPackage } from './postgres-package.ts';
import { findPostgresPackage } from './postgres-package.ts';
import { findProcesses } from './process-table.ts';
import { exists } from './reachability.ts';
import { provideBinaries } from './server-binaries.ts';
import type { ServerUser } from './server-user.ts';
import { serverUserOfThisMachine } from './server-user.ts';

/** Where things may be put that cannot lie in the data folder. */
export interface SystemFolders {
  /** For copies of the binaries, in order of preference. */
  readonly caches: readonly string[];
  /** For databases whose data folder the server's user cannot reach. */
  readonly state: string;
}

export interface Cluster {
  /** The folder with `data/` and `run/`. */
  readonly location: string;
  readonly dataFolder: string;
  /** Name in the titles of the server's processes, so that they can be told from those of other servers. */
  readonly name: string;
  readonly postgres: string;
  readonly user: ServerUser;
  readonly superuser: string;
  readonly password: string;
  /** True when this call made it. */
  readonly created: boolean;
}

const SUPERUSER = 'drover';

export function defaultSystemFolders(dataDir: string): SystemFolders {
  const own = join(dataDir, 'postgres-binaries');
  if (process.getuid?.() === 0) return { caches: ['/var/cache/drover', own], state: '/var/lib/drover' };
  return {
    caches: [join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'drover'), own],
    state: '/var/lib/drover',
  };
}

/**
 * Finds the cluster of `dataDir`, or makes one.
 *
 * @throws EmbeddedPostgresUnavailableError, DatabaseUserError, DatabaseFolderError, DatabaseMissingError, DatabaseDamagedError,
 *   DatabaseVersionMismatchError, DatabaseInitError
 */
export async function openCluster(
  dataDir: string,
  folders: SystemFolders,
  logger: Logger,
  signal: AbortSignal,
): Promise<Cluster> {
  const pack = await findPostgresPackage();
  const user = await serverUserOfThisMachine(await ownerOfDatabase(dataDir));
  const location = await locateDatabase(dataDir, user, folders.state, logger);
  const binaries = await provideBinaries(pack, user, folders.caches, logger);
  const password = await superuserPassword(dataDir);
  await removeLeftovers(location.folder);

  const created = !(await exists(location.folder));
  if (created) {
    await initialise(location.folder, binaries.initdb, user, password, logger, signal);
  } else {
    await examine(location.folder, pack, user);
  }
  await markInitialised(dataDir, location);

  const dataFolder = join(location.folder, 'data');
  return {
    location: location.folder,
    dataFolder,
    name: `drover-${createHash('sha256').update(dataFolder).digest('hex').slice(0, 12)}`,
    postgres: binaries.postgres,
    user,
    superuser: SUPERUSER,
    password,
    created,
  };
}

async function initialise(
  location: string,
  initdb: string,
  user: ServerUser,
  password: string,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const parent = dirname(location);
  await mkdir(parent, { recursive: true, mode: 0o711 });
  const work = await mkdtemp(`${location}.init-`);
  try {
    const passwordFile = join(work, 'password');
    await writeFile(passwordFile, password, { mode: 0o600 });
    if (user.switched) {
      await chown(passwordFile, user.uid, user.gid);
      await chown(work, user.uid, user.gid);
    }
    logger.info({ folder: location, user: user.name }, 'Initialising the database, only this once');
    await runInitdb({ initdb, user, folder: work, superuser: SUPERUSER, passwordFile }, signal);
    await rm(passwordFile);
    await syncFolder(work);
    await rename(work, location);
    await syncFolder(parent);
  } catch (error) {
    await rm(work, { recursive: true, force: true, maxRetries: 3 });
    throw error;
  }
}

/** What an earlier initialisation left that was killed half-way, its processes included. */
async function removeLeftovers(location: string): Promise<void> {
  const prefix = `${basename(location)}.init-`;
  const names = await readdir(dirname(location)).catch(() => []);
  for (const name of names.filter((candidate) => candidate.startsWith(prefix))) {
    const folder = join(dirname(location), name);
    const workers = await findProcesses((view) => view?.argv.some((part) => part.includes(`${folder}/`)) ?? false);
    for (const pid of workers) killQuietly(pid);
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

/** An existing location has to be ours to run, complete, and of this major version. */
async function examine(location: string, pack: PostgresPackage, user: ServerUser): Promise<void> {
  const { uid } = await lstat(location);
  if (uid !== user.uid) {
    throw new DatabaseUserError(
      `The database in ${location} belongs to uid ${uid}, and its server would run as ${user.name} (uid ${user.uid}). Start Drover as ` +
        `its owner or as root, hand the folder over (chown -R ${user.uid}:${user.gid} ${location}), or choose another DROVER_DATA_DIR.`,
    );
  }
  const text = await readFile(join(location, 'data', 'PG_VERSION'), 'utf8').catch((cause: unknown) => {
    throw new DatabaseDamagedError(
      `${location} holds no complete PostgreSQL database. Restore it from a backup, or move it away to start with an empty one.`,
      { cause },
    );
  });
  const major = Number.parseInt(text, 10);
  if (major === pack.major) return;
  throw new DatabaseVersionMismatchError(
    `The database in ${location} was made by PostgreSQL ${text.trim()}, this version of Drover brings PostgreSQL ${pack.major}. ` +
      (major > pack.major
        ? 'Use the newer version of Drover that made it, or another DROVER_DATA_DIR.'
        : `Dump it with the version of Drover that made it (pg_dump), move the folder away, start, and restore the dump.`),
  );
}

/** Random, made once, kept in the data folder for its owner only. */
async function superuserPassword(dataDir: string): Promise<string> {
  const path = join(dataDir, 'postgres.password');
  const known = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  if (known.trim() !== '') return known.trim();
  const password = randomBytes(24).toString('base64url');
  await writeFileAtomic(path, `${password}\n`, 0o600);
  return password;
}
