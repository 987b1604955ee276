import { envelopeSchema } from '@drover/contracts';
import type { Envelope, KeySet } from '@drover/contracts';
import { problemsOf } from '@drover/runtime';
import { DocumentMalformedError, EnvelopeExpiredError, EnvelopeForeignError, KindMismatchError } from './errors.ts';
import type { SigningKey } from './keys.ts';
import { requireSignature, signaturesFor } from './signatures.ts';

export type EnvelopeKind = Envelope['kind'];
export type UnsignedEnvelope = Omit<Envelope, 'signatures'>;

export interface VerifyEnvelopeOptions {
  /** The kind that the topic promises; left out where any will do. */
  readonly kind?: EnvelopeKind;
  readonly fleet: string;
  readonly device: string;
  readonly keySet: KeySet;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** How far the device's clock may be ahead of the server's. */
  readonly skewMs: number;
}

/** Signs an instruction for one device, with every key given (two while keys rotate). */
export function signEnvelope(envelope: UnsignedEnvelope, keys: readonly SigningKey[]): Envelope {
  return { ...envelope, signatures: signaturesFor(envelope, keys) };
}

/**
 * Checks that an instruction is authentic, meant for this device, and still valid. Whether it is newer than the last one
 * is another question: see `isNewer`.
 *
 * `issuedAt` is not compared with the clock: boards without a battery start in the past, and a signed instruction does no
 * harm for being early.
 *
 * @param envelope the parsed JSON exactly as received
 * @throws UntrustedError one class per failure
 */
export function verifyEnvelope(envelope: unknown, options: VerifyEnvelopeOptions): Envelope {
  const parsed = envelopeSchema.safeParse(envelope);
  if (!parsed.success) {
    throw new DocumentMalformedError('This is no signed envelope', { problems: problemsOf(parsed.error) });
  }
  const { kind, fleet, device, expiresAt } = parsed.data;
  if (options.kind !== undefined && kind !== options.kind) {
    throw new KindMismatchError(`The envelope is signed as ${kind}, expected ${options.kind}`);
  }
  requireSignature(envelope as Envelope, options.keySet, 'twin', options.now);
  if (fleet !== options.fleet || device !== options.device) {
    throw new EnvelopeForeignError(
      `The envelope is for device ${fleet}/${device}, not ${options.fleet}/${options.device}`,
    );
  }
  if (options.now > Date.parse(expiresAt) + options.skewMs) {
    throw new EnvelopeExpiredError(`The envelope was valid until ${expiresAt}`);
  }
  return parsed.data;
}
