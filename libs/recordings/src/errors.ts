import { CallerError, OperationError } from '@drover/runtime';

/** The file cannot be opened or read. */
export class RecordingUnreadableError extends OperationError {}
/** The file is no CSV recording: no header, no time, nothing numeric, not text. */
export class InvalidRecordingError extends CallerError {}
/** One cell does not hold what its column must hold; the message names row and column. */
export class InvalidCellError extends CallerError {
  /** 1-based, the header not counted. */
  readonly row: number;
  readonly column: string;

  constructor(row: number, column: string, text: string, expected: string) {
    const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text;
    const message = `Row ${row}, column "${column}": "${shown}" is not ${expected}`;
    super(message, { problems: [{ path: `${row}.${column}`, message: `"${shown}" is not ${expected}` }] });
    this.row = row;
    this.column = column;
  }
}
/** A line or the whole file is larger than allowed. */
export class RecordingTooLargeError extends CallerError {}
/** A labels file does not have the layout it must have. */
export class InvalidLabelsError extends CallerError {}
