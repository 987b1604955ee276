import { createHash } from 'node:crypto';

/**
 * The pin of a certificate authority as enrolment tokens carry it: SHA-256 of the public key, base64url (43 characters).
 * It survives a new certificate for the same key.
 *
 * @param publicKeyDer the public key as SubjectPublicKeyInfo in DER
 */
export function spkiPin(publicKeyDer: Uint8Array): string {
  return createHash('sha256').update(publicKeyDer).digest('base64url');
}
