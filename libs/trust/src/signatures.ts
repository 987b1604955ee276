import { sign, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { KeyPurpose, KeySet, Signature } from '@drover/contracts';
import { canonicalBytes } from './canonical.ts';
import { KeyExpiredError, KeyPurposeError, KeyUnknownError, SignatureInvalidError } from './errors.ts';
import type { UntrustedError } from './errors.ts';
import { importPublicKey } from './keys.ts';
import type { SigningKey } from './keys.ts';

// INVARIANT: what is signed is the whole document without its `signatures`, in canonical form, its `kind` included. So a
// signature for one kind (or one device) is never one for another, and fields this version does not know are covered too:
// always verify the document as it was received, not what a schema left of it.

/** The bytes that every signature of a document covers. */
export function signedBytes(document: object): Buffer {
  const { signatures: _, ...covered } = document as { signatures?: unknown };
  return canonicalBytes(covered);
}

export function signaturesFor(document: object, keys: readonly SigningKey[]): Signature[] {
  const bytes = signedBytes(document);
  return keys.map((key) => ({
    keyId: key.keyId,
    signature: sign(null, bytes, key.privateKey).toString('base64url'),
  }));
}

/** Strict about the encoding: the last character of 64 bytes in base64url has bits that say nothing, and they must be 0. */
export function signatureFits(bytes: Buffer, signature: string, publicKey: KeyObject): boolean {
  const decoded = Buffer.from(signature, 'base64url');
  return (
    decoded.length === 64 && decoded.toString('base64url') === signature && verify(null, bytes, publicKey, decoded)
  );
}

/**
 * One valid signature of an accepted key with the right purpose is enough; signatures of unknown keys are ignored, so that
 * a document can be signed by the old and the new key while they rotate.
 *
 * @throws the failure of the signature that came closest
 */
export function requireSignature(
  document: { readonly signatures: readonly Signature[] },
  keySet: KeySet,
  purpose: KeyPurpose,
  now: number,
): void {
  const bytes = signedBytes(document);
  let failure: UntrustedError = new KeyUnknownError(
    `No signature is by an accepted key (signed by ${document.signatures.map((s) => s.keyId).join(', ')}; accepted are ` +
      `${keySet.keys.map((key) => key.keyId).join(', ')} of key set ${keySet.version})`,
  );
  for (const { keyId, signature } of document.signatures) {
    for (const key of keySet.keys.filter((accepted) => accepted.keyId === keyId)) {
      if (!signatureFits(bytes, signature, importPublicKey(key.publicKey))) {
        failure = new SignatureInvalidError(`The signature by key ${keyId} does not fit the document`);
      } else if (!key.purposes.includes(purpose)) {
        failure = new KeyPurposeError(`Key ${keyId} may sign ${key.purposes.join(', ')}, not ${purpose}`);
      } else if (key.notAfter !== undefined && now > Date.parse(key.notAfter)) {
        failure = new KeyExpiredError(`Key ${keyId} was accepted until ${key.notAfter}`);
      } else {
        return;
      }
    }
  }
  throw failure;
}
