import type { ExecutionReason, Problem } from '@drover/contracts';
import { CallerError, OperationError } from '@drover/runtime';
import type { ErrorDetails } from '@drover/runtime';

/** The token is not of the form `drover1.<pin>.<secret>`. */
export class InvalidTokenError extends CallerError {}
/** A URL that is none, or would carry a device's data in the clear off this machine. */
export class InsecureUrlError extends CallerError {}
/** The server is not the one that was pinned, or its certificate does not hold. */
export class ServerUntrustedError extends OperationError {}
/** No connection, no answer, or not in time. */
export class ServerUnreachableError extends OperationError {}
/** The server answered with something this protocol does not know. */
export class ServerAnswerInvalidError extends OperationError {}

/** The server understood and said no: asking again with the same gets the same answer. */
export class RequestRefusedError extends CallerError {
  readonly status: number;
  /** The server's problem document, where it sent one. */
  readonly problem: Problem | null;

  constructor(status: number, problem: Problem | null, details: ErrorDetails = {}) {
    super(problem === null ? `The server refused with status ${status}` : `${problem.detail} (${problem.code})`, {
      problems: problem?.problems ?? [],
      ...details,
    });
    this.status = status;
    this.problem = problem;
  }
}
/** The server could not (429, 5xx): later it may. */
export class ServerFailedError extends OperationError {
  readonly status: number;
  readonly problem: Problem | null;

  constructor(status: number, problem: Problem | null) {
    super(problem === null ? `The server failed with status ${status}` : `${problem.detail} (${problem.code})`);
    this.status = status;
    this.problem = problem;
  }
}

/** There is no connection to publish on. */
export class NotConnectedError extends OperationError {}
/** The connection ended before the broker acknowledged. */
export class ConnectionLostError extends OperationError {}
/** The broker refused the connection; `returnCode` is the one of CONNACK (MQTT 3.1.1, 3.2.2.3). */
export class ConnectionRefusedError extends OperationError {
  readonly returnCode: number;

  constructor(returnCode: number, details: ErrorDetails = {}) {
    super(`The broker refused the connection (${CONNACK_TEXTS[returnCode] ?? `return code ${returnCode}`})`, details);
    this.returnCode = returnCode;
  }
}
/** The broker refused a subscription that a device needs. */
export class SubscriptionRefusedError extends OperationError {}

/** A message that no server would take. */
export class MessageTooLargeError extends CallerError {}
/** The store cannot be opened or written. */
export class OutboxUnusableError extends OperationError {}

/** The desired document is authentic, but this agent does not understand it. */
export class DesiredInvalidError extends CallerError {
  readonly reason: ExecutionReason = 'internal';
}
/** A document from the server that is over its bound. */
export class DocumentTooLargeError extends CallerError {
  readonly reason: ExecutionReason = 'internal';
}

/** Too little room for the artifact and the reserve. */
export class NoSpaceError extends OperationError {
  readonly reason: ExecutionReason = 'no-space';
}
/** All bytes arrived, and they are not those that were asked for. */
export class DigestMismatchError extends OperationError {
  readonly reason: ExecutionReason = 'digest-mismatch';
}
/** The server's artifact is shorter or longer than the manifest says. */
export class SizeMismatchError extends OperationError {
  readonly reason: ExecutionReason = 'size-mismatch';
}
/** The server does not give this artifact to this device. */
export class ArtifactUnavailableError extends OperationError {
  readonly reason: ExecutionReason = 'download-failed';
}
/** Every way was tried as often as allowed; what arrived so far is kept for the next time. */
export class DownloadFailedError extends OperationError {
  readonly reason: ExecutionReason = 'download-failed';
}

const CONNACK_TEXTS: Record<number, string> = {
  1: 'unacceptable protocol version',
  2: 'identifier rejected',
  3: 'server unavailable',
  4: 'bad user name or password',
  5: 'not authorised',
};
