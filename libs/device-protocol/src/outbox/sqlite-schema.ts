import { closeSync, existsSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { messageOf } from '@drover/runtime';
import { OutboxUnusableError } from '../errors.ts';

/** Checked as a whole at opening up to this size (a few milliseconds); beyond, damage shows where it is met. */
const CHECKED_UP_TO_BYTES = 8 * 2 ** 20;
const SCHEMA_VERSION = 1;

// One table per delivery class. A message's id is `base + seq` with the base of its (boot, class): so ids rise over
// restarts, and a range of sequence numbers is a range of the primary key. No other index is needed.
const SCHEMA = `
  CREATE TABLE m (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, size INTEGER NOT NULL) STRICT;
  CREATE TABLE e (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, size INTEGER NOT NULL) STRICT;
  CREATE TABLE s (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, size INTEGER NOT NULL) STRICT;
  CREATE TABLE boots (class TEXT NOT NULL, base INTEGER NOT NULL, boot_id TEXT NOT NULL, PRIMARY KEY (class, base)) STRICT;
  CREATE TABLE totals (class TEXT PRIMARY KEY, count INTEGER NOT NULL, bytes INTEGER NOT NULL, dropped INTEGER NOT NULL) STRICT;
  INSERT INTO totals VALUES ('m', 0, 0, 0), ('e', 0, 0, 0), ('s', 0, 0, 0);
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** SQLITE_CORRUPT and SQLITE_NOTADB, extended codes included. */
export function isCorruption(error: unknown): boolean {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === 'number' && ((code & 0xff) === 11 || (code & 0xff) === 26);
}

/**
 * Opens or makes the store's database: written ahead, each commit synced to the disk, readable by its owner only, locked
 * for this process.
 *
 * @throws OutboxUnusableError where it cannot be opened; SQLite's own error where the file is damaged
 */
export function openStore(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    // SQLite gives its journal files the permissions of the database.
    closeSync(openSync(path, 'a', 0o600));
    database = new DatabaseSync(path, { timeout: 500 });
    database.exec(`
      PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA journal_size_limit = 4194304;
      PRAGMA cache_size = -1024;
    `);
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
    if (version > SCHEMA_VERSION) {
      throw new OutboxUnusableError(
        `${path} was written by a newer agent (format ${version}, known ${SCHEMA_VERSION})`,
      );
    }
    if (version === 0) database.exec(`BEGIN EXCLUSIVE; ${SCHEMA} COMMIT;`);
    else if (statSync(path).size <= CHECKED_UP_TO_BYTES) requireSound(database);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof OutboxUnusableError || isCorruption(error)) throw error;
    throw new OutboxUnusableError(`The message store ${path} cannot be opened: ${messageOf(error)}`, { cause: error });
  }
}

/** Renames a damaged store, so that it can be looked at, and says what it is called now. One is kept, the last. */
export function setAside(path: string): string {
  const aside = `${path}.damaged`;
  for (const suffix of ['-wal', '-shm', '']) {
    rmSync(aside + suffix, { force: true });
    if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  }
  return aside;
}

function requireSound(database: DatabaseSync): void {
  const verdict = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
  if (verdict !== 'ok')
    throw Object.assign(new OutboxUnusableError(`quick_check: ${String(verdict)}`), { errcode: 11 });
}
