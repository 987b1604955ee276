import { CallerError } from '@drover/runtime';

/** Bytes that are not a protobuf message of the expected shape: truncated, a wrong wire type, broken text. */
export class MalformedModelError extends CallerError {}
/** A well-formed message that is no usable model: no graph, values used before they exist, sizes that contradict. */
export class InvalidModelError extends CallerError {}
/** Weights kept in other files. Drover's artifacts are self-contained, and a path in a model is a way to read any file. */
export class ExternalDataError extends CallerError {}
/** More bytes, or more objects once decoded, than the limits allow. */
export class ModelTooLargeError extends CallerError {}
/** A tensor whose element type, shape and data do not fit together, or that cannot be read as asked. */
export class InvalidTensorError extends CallerError {}
/** A graph under construction that is wrong: a duplicate name, an input that nothing produces. */
export class InvalidGraphError extends CallerError {}
