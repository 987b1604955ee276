/**
 * INVARIANT: at most one live process holds a data folder.
 *
 * The lock is an `fcntl` lock that the kernel drops when its process dies, however it dies; a pid file alone cannot do that.
 * Node has no call for such locks, SQLite does: an exclusive transaction on an empty database, held open, is one. Nobody may open
 * the `lock` file itself in the holding process, because closing any descriptor of it would drop the lock. So the holder's
 * pid stands in a second file, and is only information.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { messageOf } from '@drover/runtime';
import { DataFolderInUseError, DataFolderNotWritableError } from './errors.ts';

const SQLITE_BUSY = 5;

export class DataFolderLock {
  readonly #folder: string;
  #database: DatabaseSync | undefined;

  /** @param folder an existing data folder, as `prepareDataFolder` returned it */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Takes the lock or throws at once; it never waits.
   *
   * @throws DataFolderInUseError when another process, or another lock of this one, holds the folder
   */
  acquire(): void {
    if (this.#database !== undefined) throw this.#inUse();
    const database = new DatabaseSync(join(this.#folder, 'lock'), { open: false, timeout: 0 });
    try {
      database.open();
      database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE');
    } catch (error) {
      if (database.isOpen) database.close();
      // The primary result code is the low byte of SQLite's extended one.
      const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : undefined;
      if (code === SQLITE_BUSY) throw this.#inUse(error);
      throw new DataFolderNotWritableError(
        `The data folder ${this.#folder} cannot be locked (${messageOf(error)}). It has to be on a file system with ` +
          `file locks and be writable for this user; choose another one with DROVER_DATA_DIR.`,
        { cause: error },
      );
    }
    this.#database = database;
    writeFileSync(this.#pidFile, `${process.pid}\n`, { mode: 0o600 });
  }

  /** Gives the folder back. Harmless when it is not held. */
  release(): void {
    if (this.#database === undefined) return;
    rmSync(this.#pidFile, { force: true });
    this.#database.close();
    this.#database = undefined;
  }

  get #pidFile(): string {
    return join(this.#folder, 'lock.pid');
  }

  #inUse(cause?: unknown): DataFolderInUseError {
    const pid = this.#holder();
    return new DataFolderInUseError(
      `The data folder ${this.#folder} is in use by another Drover control plane${pid === undefined ? '' : ` (process ${pid})`}. ` +
        `Stop that one, or give this one its own folder with DROVER_DATA_DIR.`,
      { cause },
    );
  }

  #holder(): number | undefined {
    try {
      const pid = Number.parseInt(readFileSync(this.#pidFile, 'utf8'), 10);
      return Number.isInteger(pid) && pid > 0 ? pid : undefined;
    } catch {
      return undefined;
    }
  }
}
