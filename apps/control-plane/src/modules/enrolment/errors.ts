import type { Envelope } from '@drover/contracts';
import { CallerError, OperationError } from '@drover/runtime';

/** The enrolment token is unknown, expired, used up or revoked. */
export class EnrolmentTokenInvalidError extends CallerError {}
/** No certificate can be issued for this request. */
export class CertificateRequestInvalidError extends CallerError {
  static because(message: string, cause?: unknown): CertificateRequestInvalidError {
    return new CertificateRequestInvalidError(`csr: ${message}`, { cause, problems: [{ path: 'csr', message }] });
  }
}
/** Too many failures from one address, or of one device. */
export class TooManyAttemptsError extends CallerError {
  readonly retryAfterSeconds: number;

  constructor(message: string, retryAfterSeconds: number) {
    super(message);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
/** The certificate shown is that of a device which was decommissioned; the answer carries the signed order to erase. */
export class DeviceDecommissionedError extends CallerError {
  readonly erase: Envelope;

  constructor(message: string, erase: Envelope) {
    super(message);
    this.erase = erase;
  }
}
/** The path exists, but not for this method. */
export class MethodNotAllowedError extends CallerError {
  readonly allowed: readonly string[];

  constructor(method: string, allowed: readonly string[]) {
    super(`This path does not take ${method}; it takes ${allowed.join(', ')}.`);
    this.allowed = allowed;
  }
}
/** The authority has not been loaded: a defect, or the start has failed. */
export class AuthorityNotReadyError extends OperationError {}
