import { constants, existsSync } from 'node:fs';
import { access, mkdir, open, realpath, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { messageOf } from '@drover/runtime';
import { DataFolderNotWritableError } from './errors.ts';

/**
 * Makes the data folder (0700, parents included) unless it exists, and proves that it can be written.
 *
 * @returns its absolute path with symbolic links resolved: what every other part should use
 * @throws DataFolderNotWritableError
 */
export async function prepareDataFolder(path: string): Promise<string> {
  const wanted = resolve(path);
  try {
    await makeFolder(wanted);
    const folder = await realpath(wanted);
    if (!(await stat(folder)).isDirectory()) throw notWritable(wanted, 'it is not a folder');
    await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    // Mode bits say nothing to root, nor about a read-only or full file system: write something.
    const probe = join(folder, `.probe-${process.pid}`);
    const file = await open(probe, 'w', 0o600);
    try {
      await file.writeFile('x');
    } finally {
      await file.close();
      await rm(probe, { force: true });
    }
    return folder;
  } catch (error) {
    throw error instanceof DataFolderNotWritableError ? error : notWritable(wanted, messageOf(error), error);
  }
}

/** Only what is missing above it is made recursively: where a file system refuses names, Node would try that for ever. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: !existsSync(dirname(path)), mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function notWritable(folder: string, why: string, cause?: unknown): DataFolderNotWritableError {
  return new DataFolderNotWritableError(
    `The data folder ${folder} cannot be used (${why}). Make it writable for this user, free some space, or choose ` +
      `another one with DROVER_DATA_DIR.`,
    { cause },
  );
}
