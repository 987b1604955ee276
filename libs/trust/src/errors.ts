import { CallerError } from '@drover/runtime';
import type { ErrorDetails } from '@drover/runtime';
import type { ExecutionReason } from '@drover/contracts';

/** Anything signed that must not be acted on. `reason` is what an execution reports that fails because of it. */
export abstract class UntrustedError extends CallerError {
  abstract readonly reason: ExecutionReason;
}

/** The document has not the shape of a signed one (or its payload not the shape that its kind demands). */
export class DocumentMalformedError extends UntrustedError {
  readonly reason: ExecutionReason;

  constructor(message: string, details: ErrorDetails & { reason?: ExecutionReason } = {}) {
    super(message, details);
    this.reason = details.reason ?? 'signature-invalid';
  }
}
/** Signed as another kind of document than was asked for. */
export class KindMismatchError extends UntrustedError {
  readonly reason = 'signature-invalid';
}
/** An accepted key was named, but the bytes are not what it signed. */
export class SignatureInvalidError extends UntrustedError {
  readonly reason = 'signature-invalid';
}
/** No signature names an accepted key. */
export class KeyUnknownError extends UntrustedError {
  readonly reason = 'signature-invalid';
}
/** The key is accepted, but not for this kind of document. */
export class KeyPurposeError extends UntrustedError {
  readonly reason = 'signature-invalid';
}
/** The key was accepted until some time ago. */
export class KeyExpiredError extends UntrustedError {
  readonly reason = 'signature-invalid';
}
/** An older key set than the one already known. */
export class KeySetDowngradeError extends UntrustedError {
  readonly reason = 'downgrade-refused';
}
/** Meant for another fleet or device. */
export class EnvelopeForeignError extends UntrustedError {
  readonly reason = 'envelope-foreign';
}
export class EnvelopeExpiredError extends UntrustedError {
  readonly reason = 'envelope-expired';
}
/** Older than what was accepted before, and not signed as a rollback. */
export class DowngradeRefusedError extends UntrustedError {
  readonly reason = 'downgrade-refused';
}

/** Bytes or text that are no Ed25519 key. */
export class InvalidKeyError extends CallerError {}
/** A value that JSON cannot carry (NaN, a lone surrogate, a cycle), so there are no bytes to sign. */
export class NotCanonicalError extends CallerError {}
