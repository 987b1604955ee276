import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { OperationError, makePrivateFolder, messageOf } from '@drover/runtime';

/** The data folder cannot be made, entered or written. */
export class DataFolderUnusableError extends OperationError {}
/** Another agent works on this data folder. */
export class DataFolderInUseError extends OperationError {}

/** Where the agent keeps things, below its data folder. */
export class DataFolder {
  readonly path: string;
  readonly journal: string;
  readonly artifacts: string;
  readonly outbox: string;
  readonly twin: string;
  readonly state: string;
  readonly captures: string;

  constructor(path: string) {
    this.path = path;
    this.journal = join(path, 'journal.json');
    this.artifacts = join(path, 'artifacts');
    this.outbox = join(path, 'outbox.db');
    this.twin = join(path, 'twin.json');
    this.state = join(path, 'state');
    this.captures = join(path, 'captures.json');
  }

  /**
   * Makes the folder, closes it to others, and holds a lock on it that ends with the process, however it ends.
   *
   * @returns what releases the lock
   * @throws DataFolderUnusableError, DataFolderInUseError
   */
  async claim(): Promise<() => void> {
    try {
      await this.#makeFolders();
    } catch (error) {
      throw new DataFolderUnusableError(
        `The data folder ${this.path} cannot be used: ${messageOf(error)}. Choose another with DROVER_AGENT_DATA_DIR`,
        { cause: error },
      );
    }
    return lock(join(this.path, 'lock'));
  }

  async #makeFolders(): Promise<void> {
    for (const folder of [this.path, this.artifacts, this.state]) {
      await makePrivateFolder(folder);
      await chmod(folder, 0o700);
    }
  }

  /** What was wanted of an earlier enrolment says nothing of this one. */
  async forgetTwin(): Promise<void> {
    await rm(this.twin, { force: true });
  }

  /** Removes what a decommissioned device must not keep: models, messages, memory of updates. */
  async erase(): Promise<void> {
    const outbox = ['', '-wal', '-shm'].map((suffix) => `${this.outbox}${suffix}`);
    for (const path of [this.artifacts, this.state, this.journal, this.twin, this.captures, ...outbox]) {
      await rm(path, { recursive: true, force: true });
    }
    await this.#makeFolders();
  }
}

/** SQLite's lock is the kernel's: it ends with the process, so a killed agent leaves nothing to clean up. */
function lock(path: string): () => void {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    if (/locked|busy/i.test(messageOf(error))) {
      throw new DataFolderInUseError(
        `Another agent runs on the data folder of ${path}. Stop it, or choose another folder with DROVER_AGENT_DATA_DIR`,
        { cause: error },
      );
    }
    throw new DataFolderUnusableError(`The lock ${path} cannot be taken: ${messageOf(error)}`, { cause: error });
  }
  const held = database;
  return () => held.close();
}
