import canonicalize from 'canonicalize';
import { messageOf } from '@drover/runtime';
import { NotCanonicalError } from './errors.ts';

/**
 * The one sequence of bytes that stands for a JSON value, whoever writes it (RFC 8785, JSON Canonicalization Scheme), in
 * UTF-8. Properties that are `undefined` are left out, as JSON does.
 *
 * @throws NotCanonicalError where the value cannot be expressed in JSON
 */
export function canonicalBytes(value: unknown): Buffer {
  let text: string | undefined;
  try {
    text = canonicalize(value);
  } catch (error) {
    throw new NotCanonicalError(`The value has no canonical JSON form: ${messageOf(error)}`, { cause: error });
  }
  if (text === undefined) throw new NotCanonicalError('The value has no canonical JSON form: it is undefined');
  return Buffer.from(text, 'utf8');
}
