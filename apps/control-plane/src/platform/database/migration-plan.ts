/** Which migrations a database still needs: pure. */
import { DataOfNewerVersionError, MigrationChangedError, UnfinishedMigrationError } from './migration-errors.ts';

export interface Migration {
  /** `<timestamp>_<name>`; their order is the order of application. */
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the file, hexadecimal, as Prisma records it. */
  readonly checksum: string;
}

/** A row of `_prisma_migrations`. */
export interface RecordedMigration {
  readonly name: string;
  readonly checksum: string;
  readonly finished: boolean;
  readonly rolledBack: boolean;
  /** What went wrong, if Prisma's engine applied it and failed. */
  readonly logs: string | null;
}

/**
 * The known migrations that are not recorded as applied, in order.
 *
 * @throws DataOfNewerVersionError, UnfinishedMigrationError, MigrationChangedError when the record says that this version must not touch the data
 */
export function planMigrations(known: readonly Migration[], recorded: readonly RecordedMigration[]): Migration[] {
  const standing = recorded.filter(({ rolledBack }) => !rolledBack);
  const files = new Map(known.map((migration) => [migration.name, migration]));

  const unknown = standing.filter(({ name }) => !files.has(name)).map(({ name }) => name);
  if (unknown.length > 0) {
    throw new DataOfNewerVersionError(
      `The data is of a newer version of Drover (${unknown.join(', ')} is not known here). Upgrade Drover, or use another DROVER_DATA_DIR or ` +
        `DATABASE_URL.`,
    );
  }
  const unfinished = standing.find(({ finished }) => !finished);
  if (unfinished !== undefined) {
    throw new UnfinishedMigrationError(
      `Migration ${unfinished.name} was begun by another tool and not finished (${unfinished.logs?.trim() || 'it was interrupted'}). Restore the database ` +
        `from a backup, or repair it by hand and run: prisma migrate resolve --rolled-back ${unfinished.name}`,
    );
  }
  const changed = standing.find(({ name, checksum }) => files.get(name)?.checksum !== checksum);
  if (changed !== undefined) {
    throw new MigrationChangedError(
      `Migration ${changed.name} is not what was applied to this database: its file has been changed since. Use the version of Drover that the data ` +
        `comes from, or another DROVER_DATA_DIR or DATABASE_URL.`,
    );
  }
  const applied = new Set(standing.map(({ name }) => name));
  return known.filter(({ name }) => !applied.has(name));
}
