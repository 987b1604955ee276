/** The folder of the server's Unix socket, which is its only entrance. */
import { createHash } from 'node:crypto';
import { chmod, chown, lstat, mkdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '@drover/runtime';
import { DatabaseFolderError } from './errors.ts';
import { firstClosedFolder } from './reachability.ts';
import type { ServerUser } from './server-user.ts';

/** `sun_path` holds 108 bytes with its final zero; PostgreSQL appends `/.s.PGSQL.5432`. */
const MAX_FOLDER_BYTES = 107 - '/.s.PGSQL.5432'.length;

export function fitsSocket(folder: string): boolean {
  return Buffer.byteLength(folder) <= MAX_FOLDER_BYTES;
}

/**
 * Makes the socket's folder, 0700 for the server's user: `<location>/run` where the path is short enough, else a folder in the system's
 * place for temporary files whose name follows from the location, so that the next start finds a server left behind.
 *
 * @throws DatabaseFolderError
 */
export async function makeSocketFolder(location: string, user: ServerUser): Promise<string> {
  const inside = join(location, 'run');
  if (fitsSocket(inside)) return makePrivate(inside, user);

  const name = `drover-${createHash('sha256').update(location).digest('hex').slice(0, 16)}`;
  const refused: string[] = [];
  for (const parent of new Set([tmpdir(), '/tmp'])) {
    try {
      const folder = join(await realpath(parent), name);
      const closed = user.switched ? await firstClosedFolder(await realpath(parent), user) : undefined;
      if (closed !== undefined) throw new DatabaseFolderError(`${closed} is closed to user ${user.name}`);
      if (!fitsSocket(folder)) throw new DatabaseFolderError('too long for a socket');
      return await makePrivate(folder, user);
    } catch (error) {
      refused.push(`${parent}: ${messageOf(error)}`);
    }
  }
  throw new DatabaseFolderError(
    `${inside} is too long for a Unix socket (${MAX_FOLDER_BYTES} bytes at most) and no folder for temporary files serves ` +
      `(${refused.join('; ')}). Choose a shorter DROVER_DATA_DIR or set TMPDIR.`,
  );
}

/** After the server has stopped: removes a socket folder outside of the location. */
export async function removeSocketFolder(folder: string, location: string): Promise<void> {
  if (folder !== join(location, 'run')) await rm(folder, { recursive: true, force: true });
}

async function makePrivate(folder: string, user: ServerUser): Promise<string> {
  const made = await mkdir(folder, { mode: 0o700 }).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );
  if (made && user.switched) await chown(folder, user.uid, user.gid);
  const entry = await lstat(folder);
  // In a folder where everybody may write, somebody else could have been there first.
  if (!entry.isDirectory() || entry.uid !== user.uid)
    throw new DatabaseFolderError(`${folder} belongs to somebody else`);
  if ((entry.mode & 0o077) !== 0) await chmod(folder, 0o700);
  return folder;
}
