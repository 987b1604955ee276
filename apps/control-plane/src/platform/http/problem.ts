import type { Problem } from '@drover/contracts';
import { DroverError, InvalidInputError } from '@drover/runtime';
import { databaseReason, isDatabaseAway, isPrismaConflict, sqlStateOf } from '../database/database-faults.ts';
import { ConflictError, UnavailableError } from './errors.ts';

const STATUS_BY_CODE: Record<string, number> = {
  'not-found': 404,
  conflict: 409,
  unauthenticated: 401,
  forbidden: 403,
  'payload-too-large': 413,
  'unsupported-media-type': 415,
  'method-not-allowed': 405,
  'enrolment-token-invalid': 403,
  'device-decommissioned': 401,
  'too-many-attempts': 429,
  'no-space': 507,
};

const STATUS_BY_FAULT: Record<DroverError['fault'], number> = { caller: 400, operation: 503, drover: 500 };

/** Of errors that carry a status and no code. */
const CODES: Record<number, string> = {
  404: 'not-found',
  405: 'method-not-allowed',
  413: 'payload-too-large',
  415: 'unsupported-media-type',
};

const TITLES: Record<number, string> = {
  400: 'Bad request',
  401: 'Not authenticated',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  413: 'Too large',
  415: 'Unsupported media type',
  429: 'Too many attempts',
  500: 'Internal error',
  503: 'Unavailable',
  507: 'No space',
};

/** Turns whatever was thrown into an RFC 9457 problem document. What is not the caller's to know stays out of it. */
export function problemOf(thrown: unknown, instance?: string): Problem {
  const error = thrown instanceof DroverError ? thrown : errorOfDatabase(thrown);
  const status = error ? (STATUS_BY_CODE[error.code] ?? STATUS_BY_FAULT[error.fault]) : statusOf(thrown);
  return {
    type: 'about:blank',
    title: TITLES[status] ?? 'Error',
    status,
    detail:
      status === 500 ? 'Something went wrong inside Drover; the log says more.' : (error ?? (thrown as Error)).message,
    code: error?.code ?? CODES[status] ?? (status >= 500 ? 'internal' : 'bad-request'),
    ...(instance === undefined ? {} : { instance }),
    ...(error && error.problems.length > 0 ? { problems: error.problems.map((p) => ({ ...p })) } : {}),
  };
}

/**
 * What a failed statement is to a caller: the net below the checks of each service, so that no race and no odd value is told as a
 * defect, and a database that is away as what it is.
 */
function errorOfDatabase(thrown: unknown): DroverError | undefined {
  if (isDatabaseAway(thrown))
    return new UnavailableError('The database does not answer at the moment; try again soon.', { cause: thrown });
  const sqlState = sqlStateOf(thrown);
  if (sqlState?.startsWith('22'))
    return new InvalidInputError(`The database cannot hold or compare a value: ${databaseReason(thrown)}`, {
      cause: thrown,
    });
  if (sqlState?.startsWith('23') || isPrismaConflict(thrown))
    return new ConflictError('Something that this is about was changed at the same time; look again.', {
      cause: thrown,
    });
  return undefined;
}

/** Fastify's and Nest's own errors carry their status in one of two places. */
function statusOf(thrown: unknown): number {
  const error = thrown as { statusCode?: unknown; getStatus?: () => number } | null;
  const status = typeof error?.getStatus === 'function' ? error.getStatus() : error?.statusCode;
  return typeof status === 'number' && status >= 400 && status < 600 ? status : 500;
}
