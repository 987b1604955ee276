import { randomBytes } from 'node:crypto';

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

/**
 * A new id: sortable by time of creation, safe in topics and URLs. 48 bits of milliseconds and 80 random bits in Crockford's
 * base 32 (the layout of a ULID), in lower case, behind an optional prefix: `dev_01k9…`.
 */
export function newId(prefix = '', nowMs = Date.now()): string {
  let time = nowMs;
  let head = '';
  for (let i = 0; i < 10; i++) {
    head = ALPHABET[time % 32] + head;
    time = Math.floor(time / 32);
  }
  // 16 characters of 5 random bits each: the low bits of as many random bytes.
  let tail = '';
  for (const byte of randomBytes(16)) tail += ALPHABET[byte & 31];
  return prefix === '' ? head + tail : `${prefix}_${head}${tail}`;
}

/** A secret of 256 random bits, base64url (43 characters). */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}
