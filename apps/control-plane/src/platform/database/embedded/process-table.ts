/**
 * Which processes belong to a server, read from /proc. Only `cmdline` and `comm` are used, because everybody may read those; the working
 * folder of another user's process is closed even to root in a container (it takes CAP_SYS_PTRACE).
 *
 * A postmaster keeps its arguments, so it is known by `-D <data folder>`; its children carry the title `postgres: <cluster name>: …`.
 */
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';

export interface ProcessView {
  /** Kernel's short name of the program. */
  readonly comm: string;
  /** Empty for a zombie. */
  readonly argv: readonly string[];
}

/** What can be seen of a process; undefined when it is gone. */
export function viewProcess(pid: number): ProcessView | undefined {
  try {
    const comm = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    const cmdline = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return { comm, argv: cmdline === '' ? [] : cmdline.replace(/\0+$/, '').split('\0') };
  } catch {
    return undefined;
  }
}

/** Whether a process is the postmaster (or a child of it that has no title yet) of the given data folder. */
export function isPostmasterOf(view: ProcessView | undefined, dataFolder: string): boolean {
  const flag = view?.argv.indexOf('-D') ?? -1;
  return flag > 0 && view?.argv[flag + 1] === dataFolder;
}

/** Whether a process is a titled child of the named cluster. */
export function isChildOf(view: ProcessView | undefined, clusterName: string): boolean {
  return view?.argv[0]?.startsWith(`postgres: ${clusterName}: `) ?? false;
}

/** The ids of all processes for which `matches` holds. */
export async function findProcesses(matches: (view: ProcessView | undefined) => boolean): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  return ids.filter((pid) => pid !== process.pid && matches(viewProcess(pid)));
}
