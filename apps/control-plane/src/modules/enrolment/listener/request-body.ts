import type { IncomingMessage } from 'node:http';
import { InvalidInputError, messageOf } from '@drover/runtime';
import { PayloadTooLargeError, UnsupportedMediaTypeError } from '../../../platform/http/errors.ts';

/** Of a route that does not say otherwise. */
export const DEFAULT_MAX_BODY_BYTES = 64 * 2 ** 10;

/**
 * Reads a JSON body, never more of it than the cap, and parses it only when it is whole.
 *
 * @returns undefined where there is none
 * @throws PayloadTooLargeError, UnsupportedMediaTypeError, InvalidInputError; what the request fails with
 */
export async function readJson(request: IncomingMessage, maxBytes = DEFAULT_MAX_BODY_BYTES): Promise<unknown> {
  const { 'content-length': length, 'content-type': type } = request.headers;
  if (length !== undefined && Number(length) > maxBytes) throw tooLarge(maxBytes);
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    parts.push(part);
  }
  if (size === 0) return undefined;
  if (!/^application\/json\s*(;|$)/i.test(type ?? '')) throw new UnsupportedMediaTypeError('Send application/json.');
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch (error) {
    throw new InvalidInputError(`The body is no JSON: ${messageOf(error)}`, { cause: error });
  }
}

function tooLarge(maxBytes: number): PayloadTooLargeError {
  return new PayloadTooLargeError(`The body is over ${maxBytes} bytes.`);
}
