/**
 * The typed root of every error in Drover. A plain `Error` is never thrown.
 *
 * The stable `code` comes from the class name (`ArtifactTooLargeError` → `artifact-too-large`), so it is defined in one
 * place, and `fault` says who has to act: the caller (bad input), the operation (the world did not cooperate: network,
 * disk, a peer) or Drover itself (a defect).
 */
export type Fault = 'caller' | 'operation' | 'drover';

/** One thing wrong with one field of an input. `path` is dotted (`waves.0.percent`), empty for the whole input. */
export interface FieldProblem {
  readonly path: string;
  readonly message: string;
}

export interface ErrorDetails {
  /** The error underneath. */
  readonly cause?: unknown;
  /** Every field that is wrong, not only the first. */
  readonly problems?: readonly FieldProblem[];
}

export abstract class DroverError extends Error {
  abstract readonly fault: Fault;
  readonly problems: readonly FieldProblem[];

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = this.constructor.name;
    this.problems = details.problems ?? [];
  }

  /** Stable, machine-readable: the class name without `Error`, in kebab case. */
  get code(): string {
    return errorCodeOf(this.constructor.name);
  }
}

/** The input was wrong; sending the same again fails again. */
export class CallerError extends DroverError {
  readonly fault: Fault = 'caller';
}
/** The world did not cooperate; trying again later may work. */
export class OperationError extends DroverError {
  readonly fault: Fault = 'operation';
}
/** A defect in Drover. */
export class InternalError extends DroverError {
  readonly fault: Fault = 'drover';
}

/** Input that does not fulfil its schema. */
export class InvalidInputError extends CallerError {}
/** Configuration that cannot work; lists every problem. */
export class InvalidConfigError extends CallerError {}

export function errorCodeOf(className: string): string {
  return className
    .replace(/Error$/, '')
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1-$2')
    .toLowerCase();
}

/** A one-line text for logs and terminals, whatever was thrown. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) {
    return thrown.errors.map(messageOf).join('; ');
  }
  if (thrown instanceof Error) return thrown.message || thrown.name;
  return String(thrown);
}
