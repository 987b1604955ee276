/**
 * A folder of PostgreSQL binaries that the server's user can run: the installed package itself where possible, else a private copy.
 *
 * INVARIANT: a copy under its final name is complete. It is written under another name, synced and renamed, so a copy that was
 * interrupted is never used. Its name tells its content, so it is never changed either.
 */
import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, lstat, readdir, readlink, realpath, rename, rm, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { messageOf } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { DatabaseFolderError } from './errors.ts';
import type { PostgresPackage } from './postgres-package.ts';
import { EXECUTE, READ, exists, firstClosedFolder, isAllowed, makeOpenFolder } from './reachability.ts';
import type { Identity } from './reachability.ts';
import type { ServerUser } from './server-user.ts';

export interface ServerBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * The binaries for `user`: those of the package when it can reach them and they are complete, else a copy in the first of
 * `cacheFolders` that works (made once, then found again).
 *
 * @throws DatabaseFolderError when no cache folder works
 */
export async function provideBinaries(
  pack: PostgresPackage,
  user: ServerUser,
  cacheFolders: readonly string[],
  logger: Logger,
): Promise<ServerBinaries> {
  const native = await realpath(join(pack.folder, 'native'));
  if (pack.linked && (!user.switched || (await isUsable(native, user)))) return binariesIn(native);

  const refused: string[] = [];
  for (const cache of cacheFolders) {
    try {
      return binariesIn(await copyInto(cache, native, pack, user, logger));
    } catch (error) {
      refused.push(`${cache}: ${messageOf(error)}`);
    }
  }
  throw new DatabaseFolderError(
    `PostgreSQL's binaries in ${native} ${pack.linked ? `cannot be reached by the user that has to run them (uid ${user.uid})` : 'lack their library links'} ` +
      `and no copy could be made (${refused.join('; ')}). Make one of these folders usable, run npm rebuild as the checkout's owner, ` +
      `or set DATABASE_URL.`,
  );
}

function binariesIn(native: string): ServerBinaries {
  return { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres') };
}

/** Whether `user` can run what is in `native`. Looks at every folder on the way and at the files that a start needs first. */
async function isUsable(native: string, user: Identity): Promise<boolean> {
  const share = join(native, 'share', 'postgresql');
  for (const folder of [join(native, 'bin'), join(native, 'lib', 'postgresql'), join(share, 'timezone')]) {
    if ((await firstClosedFolder(folder, user)) !== undefined) return false;
  }
  const libraries = (await readdir(join(native, 'lib'))).filter((name) => name.includes('.so'));
  const needs = [
    ...['initdb', 'postgres'].map((name) => [join(native, 'bin', name), READ | EXECUTE] as const),
    ...libraries.map((name) => [join(native, 'lib', name), READ] as const),
    [join(share, 'postgres.bki'), READ] as const,
  ];
  const allowed = await Promise.all(needs.map(async ([path, wanted]) => isAllowed(await stat(path), user, wanted)));
  return allowed.every(Boolean);
}

async function copyInto(
  cache: string,
  native: string,
  pack: PostgresPackage,
  user: ServerUser,
  logger: Logger,
): Promise<string> {
  await makeOpenFolder(cache, 0o755);
  const parent = await realpath(cache);
  await refuseForeign(parent);
  const closed = user.switched ? await firstClosedFolder(parent, user) : undefined;
  if (closed !== undefined) throw new DatabaseFolderError(`${closed} is closed to uid ${user.uid}`);

  const target = join(parent, `postgresql-${pack.version}-${await fingerprint(native)}`);
  if (await isFolder(target)) {
    await refuseForeign(target);
    return target;
  }
  const temporary = join(parent, `.copy-${randomBytes(6).toString('hex')}`);
  try {
    await makeOpenFolder(temporary, 0o755);
    for (const part of ['bin', 'lib', 'share']) await copyTree(join(native, part), join(temporary, part));
    for (const link of pack.links) await makeLink(temporary, link);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    // Two starts at once: the other one's copy is as good.
    if (!(await isFolder(target))) throw error;
  }
  logger.info({ from: native, to: target }, 'Copied the PostgreSQL binaries to where its user can run them');
  return target;
}

/** Binaries that somebody else could have written are never run with our rights. */
async function refuseForeign(folder: string): Promise<void> {
  const { uid, mode } = await lstat(folder);
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new DatabaseFolderError(`${folder} belongs to somebody else or others may write to it`);
  }
}

/** Names the content cheaply: names and sizes of all binaries and libraries. */
async function fingerprint(native: string): Promise<string> {
  const hash = createHash('sha256');
  for (const part of ['bin', 'lib']) {
    for (const name of (await readdir(join(native, part))).toSorted()) {
      const entry = await lstat(join(native, part, name));
      // Links are left out: the package with and the one without them give the same copy.
      if (entry.isFile()) hash.update(`${part}/${name} ${entry.size}\n`);
    }
  }
  return hash.digest('hex').slice(0, 12);
}

/** Copies a folder with its links as they are; modes are set, whatever the umask of npm or ours was. */
async function copyTree(from: string, to: string): Promise<void> {
  await makeOpenFolder(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    // Static libraries serve linkers only.
    else if (entry.isFile() && !entry.name.endsWith('.a')) {
      await copyFile(source, target, constants.COPYFILE_FICLONE);
      const executable = ((await stat(source)).mode & 0o100) !== 0 || basename(from) === 'bin';
      await chmod(target, executable ? 0o755 : 0o644);
    }
  }
}

/** `native/lib/libx.so.1.2` ← `lib/libx.so.1`, relative, so that the folder can be moved. */
async function makeLink(copy: string, link: PostgresPackage['links'][number]): Promise<void> {
  const target = join(copy, link.target.replace(/^native\//, ''));
  if (!(await exists(target)) && dirname(link.source) === dirname(link.target))
    await symlink(basename(link.source), target);
}

async function isFolder(path: string): Promise<boolean> {
  return lstat(path).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
}
