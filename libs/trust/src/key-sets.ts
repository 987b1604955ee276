import { keySetSchema } from '@drover/contracts';
import type { KeySet, SignedDocument } from '@drover/contracts';
import { problemsOf } from '@drover/runtime';
import { DocumentMalformedError, KeySetDowngradeError, KeyUnknownError, SignatureInvalidError } from './errors.ts';
import { importPublicKey, keyIdOf } from './keys.ts';
import type { SigningKey } from './keys.ts';
import { parseSigned, signDocument } from './documents.ts';
import { signatureFits, signedBytes } from './signatures.ts';

/** Signs the keys that devices shall accept, with the root key that they pinned at enrolment. */
export function signKeySet(keySet: KeySet, rootKey: SigningKey): SignedDocument {
  return signDocument('keys', keySet, [rootKey]);
}

/**
 * The key set of a document that the root signed. The same version is taken again, an older one never: it may name keys
 * that were withdrawn since. Keys' `notAfter` and purposes are checked where a key is used.
 *
 * @param rootPublicKey base64url, as pinned at enrolment
 * @param currentVersion of the set known so far, 0 where there is none
 * @throws UntrustedError one class per failure
 */
export function verifyKeySet(document: unknown, rootPublicKey: string, currentVersion: number): KeySet {
  const { payload, signatures } = parseSigned('keys', document);
  const byRoot = signatures.filter((signature) => signature.keyId === keyIdOf(rootPublicKey));
  if (byRoot.length === 0) throw new KeyUnknownError('The key set is not signed by the pinned root key');
  const bytes = signedBytes(document as SignedDocument);
  const root = importPublicKey(rootPublicKey);
  if (!byRoot.some(({ signature }) => signatureFits(bytes, signature, root))) {
    throw new SignatureInvalidError('The signature of the root key does not fit the key set');
  }
  const parsed = keySetSchema.safeParse(payload);
  if (!parsed.success) {
    throw new DocumentMalformedError('The key set is malformed', { problems: problemsOf(parsed.error) });
  }
  // Here and not where a key is used, so that a broken key is the set's fault and never an instruction's.
  for (const key of parsed.data.keys) requireKey(key.publicKey, key.keyId);
  if (parsed.data.version < currentVersion) {
    throw new KeySetDowngradeError(`Key set ${parsed.data.version} is older than ${currentVersion}, which is known`);
  }
  return parsed.data;
}

function requireKey(publicKey: string, keyId: string): void {
  try {
    importPublicKey(publicKey);
  } catch (error) {
    throw new DocumentMalformedError(`Key ${keyId} of the key set is no Ed25519 public key`, { cause: error });
  }
}
