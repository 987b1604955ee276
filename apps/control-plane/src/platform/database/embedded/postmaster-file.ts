/** `postmaster.pid`, which a running server keeps in its data folder and a killed one leaves behind. */
import type { ProcessView } from './process-table.ts';
import { isPostmasterOf } from './process-table.ts';

export interface PostmasterFile {
  readonly pid: number;
  /** The server's own word: it accepts connections. */
  readonly ready: boolean;
}

/** Reads the lines pid, data folder, start time, port, socket folder, address, memory key, status. Undefined when there is no pid. */
export function parsePostmasterFile(text: string): PostmasterFile | undefined {
  const lines = text.split('\n').map((line) => line.trim());
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return { pid, ready: lines[7] === 'ready' };
}

/**
 * What to make of the process that a postmaster file names:
 * - `server`: it is a live server on this data folder;
 * - `gone`: there is none, PostgreSQL cleans up itself;
 * - `taken`: the number belongs to something that is certainly not a live postmaster of this folder: another program, or the zombie of
 *   the old one that nobody reaps. PostgreSQL cannot tell and would refuse to start for it;
 * - `unclear`: a postmaster that does not say which folder it serves; PostgreSQL has to decide.
 */
export function judgeOwner(view: ProcessView | undefined, dataFolder: string): 'server' | 'gone' | 'taken' | 'unclear' {
  if (view === undefined) return 'gone';
  if (isPostmasterOf(view, dataFolder)) return 'server';
  if (view.comm !== 'postgres' || view.argv.length === 0) return 'taken';
  // Children have titles, and another server names its own folder.
  const isChild = view.argv[0]?.startsWith('postgres: ') ?? false;
  const namesOther = view.argv.includes('-D') && (view.argv[view.argv.indexOf('-D') + 1]?.startsWith('/') ?? false);
  return isChild || namesOther ? 'taken' : 'unclear';
}
