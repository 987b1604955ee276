import { CallerError, InternalError, OperationError } from '@drover/runtime';
import type { DroverError, FieldProblem } from '@drover/runtime';

/** ONNX Runtime cannot be loaded at all. */
export class RuntimeUnavailableError extends OperationError {}
/** The graph does not load, or does not run on a window of zeros. */
export class InvalidGraphError extends CallerError {}
/** The model's bytes cannot be read or unpacked. */
export class ModelDamagedError extends CallerError {}
/** The model does not unpack to the size that was announced. */
export class ModelSizeError extends CallerError {}
/** The graph loads, but is no detector: inputs or outputs are not what the contract says. Lists every difference. */
export class DetectorContractError extends CallerError {}
/** What the model needs is not what the pipeline delivers: channels, or a calibration of another size. */
export class SignatureMismatchError extends CallerError {}
/** The model's outputs for the golden windows are not the ones that were recorded when it was built. */
export class GoldenMismatchError extends CallerError {}
/** No pipeline of that name. */
export class UnknownPipelineError extends CallerError {}
/** No detector was prepared under that key. */
export class UnknownDetectorError extends CallerError {}
/** The pipeline's name is taken. */
export class PipelineExistsError extends CallerError {}
/** The detector's key is taken. */
export class DetectorExistsError extends CallerError {}
/** The detector that is asked to go is the one that serves. */
export class DetectorInUseError extends CallerError {}
/** The worker died or was stopped before it answered. */
export class InferenceWorkerLostError extends OperationError {}
/** Something in the worker failed in a way nobody foresaw. */
export class InferenceWorkerFailedError extends InternalError {}

const CLASSES = [
  RuntimeUnavailableError,
  InvalidGraphError,
  DetectorContractError,
  SignatureMismatchError,
  GoldenMismatchError,
  UnknownPipelineError,
  UnknownDetectorError,
  PipelineExistsError,
  DetectorExistsError,
  DetectorInUseError,
  InferenceWorkerLostError,
  ModelDamagedError,
  ModelSizeError,
] as const;

/** An error as it crosses from the worker's thread: a class does not survive the copy. */
export interface PlainError {
  readonly kind: number;
  readonly message: string;
  readonly problems: readonly FieldProblem[];
}

export function toPlainError(thrown: unknown): PlainError {
  const kind = CLASSES.findIndex((known) => thrown instanceof known);
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { kind, message, problems: kind < 0 ? [] : (thrown as DroverError).problems };
}

/** The same class again, so that the caller's `instanceof` and the error's code work as if there were no thread. */
export function fromPlainError(plain: PlainError): DroverError {
  const known = CLASSES[plain.kind] ?? InferenceWorkerFailedError;
  return new known(plain.message, { problems: plain.problems });
}
