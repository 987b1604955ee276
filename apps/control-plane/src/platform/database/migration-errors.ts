import { InternalError, OperationError } from '@drover/runtime';

/** No connection to the database. */
export class DatabaseUnreachableError extends OperationError {}
/** The server is older than what Drover's SQL needs. */
export class PostgresTooOldError extends OperationError {}
/** The database is somebody else's. */
export class ForeignDatabaseError extends OperationError {}
/** A newer version of Drover has worked on this database. */
export class DataOfNewerVersionError extends OperationError {}
/** An applied migration and its file are no longer the same. */
export class MigrationChangedError extends OperationError {}
/** Another tool has left a migration half applied. */
export class UnfinishedMigrationError extends OperationError {}
/** A migration failed, and nothing of it was applied. */
export class MigrationFailedError extends OperationError {}
/** A migration is written so that it cannot be applied. */
export class InvalidMigrationError extends InternalError {}
