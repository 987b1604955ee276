import { CallerError, InternalError } from '@drover/runtime';

/** Too few whole windows to learn anything from. */
export class NotEnoughDataError extends CallerError {}
/** No channel varies, or a channel never has a value. */
export class UnusableDataError extends CallerError {}
/** Recordings whose channels, labels or sizes contradict each other. */
export class InconsistentRecordingError extends CallerError {}
/** Options that no model can be trained with. */
export class InvalidTrainingOptionsError extends CallerError {}
/** A graph without the inputs, outputs or operators that a step of the factory needs. */
export class UnsupportedGraphError extends CallerError {}
/** A model that the factory itself made fails in ONNX Runtime or gives numbers that are none. */
export class BrokenModelError extends InternalError {}
/** A graph that would need more memory than a detector may have. */
export class UnaffordableModelError extends CallerError {}
