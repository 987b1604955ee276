import type { Problem } from '@drover/contracts';
import { CallerError, OperationError } from '@drover/runtime';
import type { Fault } from '@drover/runtime';

/** The server said no: its problem document, whose `code` is stable. */
export class ApiProblemError extends CallerError {
  override readonly fault: Fault;
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail, { problems: problem.problems ?? [] });
    this.problem = problem;
    this.fault = problem.status >= 500 ? 'operation' : 'caller';
  }

  override get code(): string {
    return this.problem.code;
  }
}

/** No answer: the server isn't there, or not at this address. */
export class ServerUnreachableError extends OperationError {}
/** An answer that the contract doesn't know: another version, or no Drover. */
export class UnexpectedAnswerError extends OperationError {}
