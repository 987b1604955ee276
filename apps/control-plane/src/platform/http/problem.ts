import type { Problem } from '@drover/contracts';
import { DroverError } from '@drover/runtime';

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
};

/** Turns whatever was thrown into an RFC 9457 problem document. What is not the caller's to know stays out of it. */
export function problemOf(thrown: unknown, instance?: string): Problem {
  if (thrown instanceof DroverError) {
    const byFault = { caller: 400, operation: 503, drover: 500 }[thrown.fault];
    const status = STATUS_BY_CODE[thrown.code] ?? byFault;
    return {
      type: 'about:blank',
      title: TITLES[status] ?? 'Error',
      status,
      detail: status === 500 ? 'Something went wrong inside Drover; the log says more.' : thrown.message,
      code: thrown.code,
      ...(instance === undefined ? {} : { instance }),
      ...(thrown.problems.length > 0 ? { problems: thrown.problems.map((p) => ({ ...p })) } : {}),
    };
  }
  const status = statusOf(thrown);
  return {
    type: 'about:blank',
    title: TITLES[status] ?? 'Error',
    status,
    detail: status >= 500 ? 'Something went wrong inside Drover; the log says more.' : (thrown as Error).message,
    code:
      { 404: 'not-found', 405: 'method-not-allowed', 413: 'payload-too-large', 415: 'unsupported-media-type' }[
        status
      ] ?? (status >= 500 ? 'internal' : 'bad-request'),
    ...(instance === undefined ? {} : { instance }),
  };
}

/** Fastify's and Nest's own errors carry their status in one of two places. */
function statusOf(thrown: unknown): number {
  const error = thrown as { statusCode?: unknown; getStatus?: () => number } | null;
  const status = typeof error?.getStatus === 'function' ? error.getStatus() : error?.statusCode;
  return typeof status === 'number' && status >= 400 && status < 600 ? status : 500;
}
