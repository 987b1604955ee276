import { CallerError, OperationError } from '@drover/runtime';

/** What is asked for does not exist, or not in this fleet. */
export class NotFoundError extends CallerError {
  static of(what: string, id: string): NotFoundError {
    return new NotFoundError(`There is no ${what} "${id}" in this fleet.`);
  }
}
/** The state of things does not allow it. */
export class ConflictError extends CallerError {}
/** No valid API key. */
export class UnauthenticatedError extends CallerError {}
/** A valid API key that may not do this. */
export class ForbiddenError extends CallerError {}
export class PayloadTooLargeError extends CallerError {}
export class UnsupportedMediaTypeError extends CallerError {}
/** The disk that it would go to is full. */
export class NoSpaceError extends OperationError {}
/** Temporarily not possible; try again. */
export class UnavailableError extends OperationError {}
