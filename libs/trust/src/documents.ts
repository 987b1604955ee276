import { signedDocumentSchema } from '@drover/contracts';
import type { KeyPurpose, KeySet, SignedDocument } from '@drover/contracts';
import { problemsOf } from '@drover/runtime';
import { DocumentMalformedError, KindMismatchError } from './errors.ts';
import type { SigningKey } from './keys.ts';
import { requireSignature, signaturesFor } from './signatures.ts';

/** Kinds that keys of a key set sign. Key sets themselves are signed by the root: see `signKeySet`. */
export type SignedKind = Exclude<SignedDocument['kind'], 'keys'>;

const PURPOSE: Record<SignedKind, KeyPurpose> = { manifest: 'manifest' };

export interface VerifyDocumentOptions {
  readonly keySet: KeySet;
  /** Milliseconds since the epoch, for keys that expire. */
  readonly now: number;
}

/** Signs a payload as a document of a kind, with every key given (two while keys rotate). */
export function signDocument(
  kind: SignedDocument['kind'],
  payload: unknown,
  keys: readonly SigningKey[],
): SignedDocument {
  const document = { kind, payload };
  return { ...document, signatures: signaturesFor(document, keys) };
}

/**
 * Checks kind and signature of a document as it was received, and gives its payload: authentic, but not yet parsed.
 *
 * @throws UntrustedError one class per failure
 */
export function verifyDocument(kind: SignedKind, document: unknown, options: VerifyDocumentOptions): unknown {
  const parsed = parseSigned(kind, document);
  requireSignature(document as SignedDocument, options.keySet, PURPOSE[kind], options.now);
  return parsed.payload;
}

/** The shape and kind of a signed document, its signatures not yet verified. */
export function parseSigned(kind: SignedDocument['kind'], document: unknown): SignedDocument {
  const parsed = signedDocumentSchema.safeParse(document);
  if (!parsed.success) {
    throw new DocumentMalformedError(`This is no signed document of kind ${kind}`, {
      problems: problemsOf(parsed.error),
      ...(kind === 'manifest' && { reason: 'manifest-invalid' }),
    });
  }
  if (parsed.data.kind !== kind) {
    throw new KindMismatchError(`The document is signed as ${parsed.data.kind}, expected ${kind}`);
  }
  return parsed.data;
}
