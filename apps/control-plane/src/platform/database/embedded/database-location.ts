/**
 * Where the database of a data folder lies: in `<data folder>/postgres`, or, when the server's user cannot get there (root started
 * Drover below a folder that only root may enter), in `<state folder>/<random id>`, named by `<data folder>/postgres.location`.
 *
 * INVARIANT: a location that was ever `initialised` is never replaced by an empty one. If it is gone, the start fails.
 */
import { randomBytes } from 'node:crypto';
import { chmod, chown, lstat, readFile, realpath, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { messageOf, writeFileAtomic } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { z } from 'zod';
import { DatabaseDamagedError, DatabaseFolderError, DatabaseMissingError } from './errors.ts';
import { exists, firstClosedFolder, makeOpenFolder } from './reachability.ts';
import type { Identity } from './reachability.ts';
import type { ServerUser } from './server-user.ts';

export interface DatabaseLocation {
  /** The folder (0700, of the server's user) with `data/` and `run/`; it exists only once initialised. */
  readonly folder: string;
  /** True when it is not inside the data folder. */
  readonly external: boolean;
}

const pointerSchema = z.object({ folder: z.string().startsWith('/'), initialised: z.boolean() });
type Pointer = z.output<typeof pointerSchema>;

/** Who owns the database of this data folder; undefined when there is none yet. */
export async function ownerOfDatabase(dataDir: string): Promise<Identity | undefined> {
  const pointer = await readPointer(dataDir);
  return lstat(pointer?.folder ?? insideOf(dataDir)).then(
    ({ uid, gid }) => ({ uid, gid }),
    () => undefined,
  );
}

/**
 * Decides where the database is, or will be.
 *
 * @param stateFolder where databases go that cannot lie in their data folder
 * @throws DatabaseMissingError when an external one has disappeared
 * @throws DatabaseFolderError when there is no place that `user` can reach
 */
export async function locateDatabase(
  dataDir: string,
  user: ServerUser,
  stateFolder: string,
  logger: Logger,
): Promise<DatabaseLocation> {
  const pointer = await readPointer(dataDir);
  if (pointer !== undefined) return followPointer(dataDir, pointer);

  const inside = { folder: insideOf(dataDir), external: false };
  if (!user.switched) return inside;
  // The folder itself is ours to open, its parents are not.
  if ((await firstClosedFolder(dataDir, user)) === dataDir) await openToServer(dataDir, user);
  const closed = await firstClosedFolder(dataDir, user);
  if (closed === undefined) return inside;
  if (await exists(inside.folder)) throw unreachable(inside.folder, closed, user);

  const folder = await makeExternalFolder(stateFolder, user);
  // Written before anything is there, so that an interrupted initialisation is found and finished, not forgotten.
  await writePointer(dataDir, { folder, initialised: false });
  logger.info({ closed, folder }, `The database goes to ${folder}, because user ${user.name} cannot pass ${closed}`);
  return { folder, external: true };
}

/** Records that the database is complete; before this it may be thrown away. */
export async function markInitialised(dataDir: string, location: DatabaseLocation): Promise<void> {
  if (location.external) await writePointer(dataDir, { folder: location.folder, initialised: true });
}

/** Deletes the database of a data folder wherever it lies, for throw-away folders. No server may run on it. */
export async function removeDatabase(dataDir: string): Promise<void> {
  const pointer = await readPointer(dataDir);
  await rm(pointer?.folder ?? insideOf(dataDir), { recursive: true, force: true });
  await rm(pointerFile(dataDir), { force: true });
}

async function followPointer(dataDir: string, pointer: Pointer): Promise<DatabaseLocation> {
  if (pointer.initialised && !(await exists(pointer.folder))) {
    throw new DatabaseMissingError(
      `The database of ${dataDir} was in ${pointer.folder}, which is gone. Bring it back (a backup, a volume that is not mounted), ` +
        `or delete ${pointerFile(dataDir)} to start with an empty one.`,
    );
  }
  return { folder: pointer.folder, external: true };
}

/**
 * A data folder that only root may enter is opened to the group of the server's user: passing through, not listing. Only the folder
 * itself, never its parents, and only when it grants nothing to any other group.
 */
async function openToServer(dataDir: string, user: Identity): Promise<void> {
  const entry = await lstat(dataDir);
  if (entry.uid !== 0) return;
  if ((entry.mode & 0o070) !== 0 && entry.gid !== user.gid) return;
  await chown(dataDir, 0, user.gid);
  await chmod(dataDir, (entry.mode & 0o7777) | 0o010);
}

async function makeExternalFolder(stateFolder: string, user: ServerUser): Promise<string> {
  try {
    await makeOpenFolder(stateFolder, 0o711);
    const parent = await realpath(stateFolder);
    const closed = await firstClosedFolder(parent, user);
    if (closed !== undefined) throw unreachable(parent, closed, user);
    return join(parent, randomBytes(8).toString('hex'));
  } catch (error) {
    if (error instanceof DatabaseFolderError) throw error;
    throw new DatabaseFolderError(
      `The database needs a folder that user ${user.name} can reach, and ${stateFolder} cannot be made (${messageOf(error)}). ` +
        `Choose a DROVER_DATA_DIR that others may pass through to, or set DATABASE_URL.`,
      { cause: error },
    );
  }
}

function unreachable(folder: string, closed: string, user: ServerUser): DatabaseFolderError {
  return new DatabaseFolderError(
    `User ${user.name}, who runs the database server, cannot reach ${folder}: ${closed} is closed to it. ` +
      `Open that folder (chmod o+x ${closed}), or choose another DROVER_DATA_DIR.`,
  );
}

const insideOf = (dataDir: string): string => join(dataDir, 'postgres');
const pointerFile = (dataDir: string): string => join(dataDir, 'postgres.location');

async function readPointer(dataDir: string): Promise<Pointer | undefined> {
  const text = await readFile(pointerFile(dataDir), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  try {
    return pointerSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new DatabaseDamagedError(
      `${pointerFile(dataDir)} should name the folder of the database, and does not. Restore the file ` +
        `(${basename(pointerFile(dataDir))} holds {"folder": "/…", "initialised": true}) or set another DROVER_DATA_DIR.`,
      { cause },
    );
  }
}

async function writePointer(dataDir: string, pointer: Pointer): Promise<void> {
  await writeFileAtomic(pointerFile(dataDir), `${JSON.stringify(pointer)}\n`, 0o600);
}
