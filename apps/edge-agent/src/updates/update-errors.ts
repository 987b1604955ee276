import { EXECUTION_REASONS } from '@drover/contracts';
import type { ExecutionReason } from '@drover/contracts';
import { CallerError, DroverError, OperationError } from '@drover/runtime';

/** None of the variants offered can run here. */
export class NoCandidateError extends CallerError {
  readonly reason: ExecutionReason = 'no-candidate';
}
/** The model wants channels that the pipeline's sensor does not have. */
export class SignatureMismatchError extends CallerError {
  readonly reason: ExecutionReason = 'signature-mismatch';
}
/** The manifest is authentic, and not what was announced or not to be understood. */
export class ManifestInvalidError extends CallerError {
  readonly reason: ExecutionReason = 'manifest-invalid';
}
/** An older release of the model that serves, and nothing that says that this is meant. */
export class ReleaseDowngradeError extends CallerError {
  readonly reason: ExecutionReason = 'downgrade-refused';
}
/** A file on disk is not what it was when it was stored. */
export class ArtifactDamagedError extends OperationError {
  readonly reason: ExecutionReason = 'digest-mismatch';
}

/** Every candidate was tried, and none works here. */
export class NoWorkingCandidateError extends CallerError {
  readonly reason: ExecutionReason;

  constructor(reason: ExecutionReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Codes of errors that inference throws, which knows nothing of executions. */
const REASON_OF_CODE: Readonly<Record<string, ExecutionReason>> = {
  'invalid-graph': 'graph-invalid',
  'detector-contract': 'graph-invalid',
  'model-damaged': 'graph-invalid',
  'model-size': 'size-mismatch',
  'golden-mismatch': 'golden-mismatch',
  'signature-mismatch': 'signature-mismatch',
  'inference-worker-lost': 'graph-invalid',
};

/** Why an execution fails with this error. */
export function reasonOf(error: unknown): ExecutionReason {
  const reason = (error as { reason?: unknown } | null)?.reason;
  if ((EXECUTION_REASONS as readonly unknown[]).includes(reason)) return reason as ExecutionReason;
  return (error instanceof DroverError ? REASON_OF_CODE[error.code] : undefined) ?? 'internal';
}
