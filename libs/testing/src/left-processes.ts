import { readFile, readdir, readlink } from 'node:fs/promises';

export interface LeftProcess {
  readonly pid: number;
  readonly command: string;
}

/**
 * Processes that have to do with a folder: named on their command line, or their working directory (PostgreSQL's children). Linux
 * only: it reads /proc.
 */
export async function processesOf(folder: string): Promise<LeftProcess[]> {
  const found: LeftProcess[] = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim();
      const cwd = await readlink(`/proc/${pid}/cwd`);
      if (command === '' || !(command.includes(folder) || cwd.startsWith(folder))) continue;
      found.push({ pid, command });
    } catch {
      // It has ended meanwhile, or is another user's: then it is none of ours.
    }
  }
  return found;
}
