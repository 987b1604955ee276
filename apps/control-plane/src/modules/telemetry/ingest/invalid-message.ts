import { CallerError } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';

/** An authorised message with invalid content: acknowledged, counted and set aside, never answered by a disconnect. */
export class InvalidMessageError extends CallerError {
  static of(problems: readonly FieldProblem[]): InvalidMessageError {
    const text = problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
    return new InvalidMessageError(text, { problems });
  }
}
