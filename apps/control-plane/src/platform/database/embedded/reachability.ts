/** Who may pass where, by the mode bits: what the kernel will say to the server's user, computed before it is asked. */
import type { Stats } from 'node:fs';
import { chmod, lstat, mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A user as the kernel sees it; a spawned server has no supplementary groups. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

export const READ = 4;
export const EXECUTE = 1;

/**
 * Whether `who` has all of `wanted` (READ, EXECUTE or their sum) on a file or folder. Exactly one class of bits counts: an owner
 * is not helped by the bits of others. Root may read all, and execute what anybody may execute.
 */
export function isAllowed(entry: Pick<Stats, 'uid' | 'gid' | 'mode'>, who: Identity, wanted: number): boolean {
  if (who.uid === 0) return (wanted & EXECUTE) === 0 || (entry.mode & 0o111) !== 0;
  const shift = entry.uid === who.uid ? 6 : entry.gid === who.gid ? 3 : 0;
  return ((entry.mode >> shift) & wanted) === wanted;
}

/**
 * The first folder, from the root down to `folder` itself, that `who` may not enter; undefined when all are open. Meant for another
 * user than ours: for ourselves the kernel knows better (supplementary groups, access lists).
 *
 * @param folder an absolute path without symbolic links
 */
export async function firstClosedFolder(folder: string, who: Identity): Promise<string | undefined> {
  for (const step of pathFromRoot(folder)) {
    if (!isAllowed(await stat(step), who, EXECUTE)) return step;
  }
  return undefined;
}

/** `/a/b` → `/`, `/a`, `/a/b`. */
export function pathFromRoot(folder: string): string[] {
  const steps = [folder];
  for (let step = folder; dirname(step) !== step; step = dirname(step)) steps.unshift(dirname(step));
  return steps;
}

/** Makes a folder unless it exists, with this mode whatever our umask is. */
export async function makeOpenFolder(path: string, mode: number): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode });
  if (made !== undefined) await chmod(path, mode);
}

/** Whether something is there. Throws when we may not look, because that says nothing. */
export async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}
