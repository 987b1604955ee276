import { OperationError } from '@drover/runtime';

/** This platform has no PostgreSQL among Drover's dependencies. */
export class EmbeddedPostgresUnavailableError extends OperationError {}
/** The embedded server cannot be run by anybody here: neither by us nor by a user that we could switch to. */
export class DatabaseUserError extends OperationError {}
/** No folder that the server's user can reach could be used for the binaries, the data or the socket. */
export class DatabaseFolderError extends OperationError {}
/** The data folder says that its database is elsewhere, and there it is not. */
export class DatabaseMissingError extends OperationError {}
/** The database folder exists but holds no complete database. */
export class DatabaseDamagedError extends OperationError {}
/** The database was made by another major version of PostgreSQL than the one that Drover ships. */
export class DatabaseVersionMismatchError extends OperationError {}
/** `initdb` failed. */
export class DatabaseInitError extends OperationError {}
/** The server did not start, or does not let us in. */
export class DatabaseStartError extends OperationError {}

/** Another process works on the same data folder. */
export class DataFolderInUseError extends OperationError {}
/** The data folder cannot be made or written. */
export class DataFolderNotWritableError extends OperationError {}
