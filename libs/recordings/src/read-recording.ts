import { parseLabel, parseNumber, parseTime } from './cells.ts';
import { openTable } from './csv-table.ts';
import type { CsvTable, RecordingOptions } from './csv-table.ts';
import { InvalidCellError } from './errors.ts';
import { isInWindows } from './label-windows.ts';

export type { RecordingOptions } from './csv-table.ts';

export interface RecordingHeader {
  readonly path: string;
  readonly delimiter: string;
  /** Name of the time column; null where the rate gives the times. */
  readonly timestamp: string | null;
  readonly channels: readonly string[];
  readonly labelColumns: readonly string[];
  readonly ignoredColumns: readonly string[];
  /** Where labels come from: a column, windows in a file beside the data (NAB), or nowhere. */
  readonly labelledBy: 'column' | 'windows' | null;
}

export interface RecordingRow {
  /** 1-based, the header not counted. */
  readonly row: number;
  /** Milliseconds since the Unix epoch; times without a zone are UTC. */
  readonly timeMs: number;
  /** The time as it is in the file; null where the rate gives the times. */
  readonly timeText: string | null;
  /** One per channel; NaN is missing. */
  readonly values: Float64Array;
  /** 1: anomalous. Undefined where the recording has no labels. */
  readonly label: 0 | 1 | undefined;
}

/** An opened recording: read its rows once, or close it. */
export interface Recording extends AsyncIterable<RecordingRow>, AsyncDisposable {
  readonly header: RecordingHeader;
  /** The same rows, some at a time: faster where there are many. */
  batches(): AsyncGenerator<readonly RecordingRow[]>;
  close(): Promise<void>;
}

/**
 * Opens a CSV recording (SKAB and NAB files as they are, and any other with a header line) and streams its rows with
 * bounded memory.
 *
 * @throws RecordingUnreadableError, InvalidRecordingError, RecordingTooLargeError, InvalidLabelsError; while
 *   iterating also InvalidCellError, which names row and column
 */
export async function readRecording(path: string, options: RecordingOptions = {}): Promise<Recording> {
  const table = await openTable(path, options);
  return new CsvRecording(headerOf(table), rowsOf(table, options.rateHz), table);
}

class CsvRecording implements Recording {
  readonly header: RecordingHeader;
  readonly #batches: AsyncGenerator<readonly RecordingRow[]>;
  readonly #table: CsvTable;

  constructor(header: RecordingHeader, batches: AsyncGenerator<readonly RecordingRow[]>, table: CsvTable) {
    this.header = header;
    this.#batches = batches;
    this.#table = table;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<RecordingRow> {
    for await (const rows of this.#batches) yield* rows;
  }

  batches(): AsyncGenerator<readonly RecordingRow[]> {
    return this.#batches;
  }

  async close(): Promise<void> {
    await this.#batches.return(undefined);
    await this.#table.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function* rowsOf(table: CsvTable, rateHz: number | undefined): AsyncGenerator<readonly RecordingRow[]> {
  let row = 0;
  try {
    for await (const records of table.records) {
      const rows: RecordingRow[] = [];
      let problem: unknown;
      for (const record of records) {
        try {
          rows.push(rowOf(record, (row += 1), table, rateHz));
        } catch (error) {
          problem = error;
          break;
        }
      }
      if (rows.length > 0) yield rows;
      if (problem !== undefined) throw problem;
    }
  } finally {
    await table.close();
  }
}

function rowOf(record: readonly string[], row: number, table: CsvTable, rateHz: number | undefined): RecordingRow {
  const { names, columns, windows } = table;
  const timeText = columns.time === null ? null : record[columns.time]!;
  const timeMs = columns.time === null ? ((row - 1) * 1_000) / rateHz! : timeOf(timeText!, row, names[columns.time]!);
  const { channels } = columns;
  const values = new Float64Array(channels.length);
  for (let c = 0; c < channels.length; c += 1) {
    const text = record[channels[c]!]!.trim();
    const value = parseNumber(text, columns.decimalComma);
    if (value === undefined) throw new InvalidCellError(row, names[channels[c]!]!, text, 'a number');
    values[c] = value;
  }
  let label: 0 | 1 | undefined;
  if (columns.anomaly !== null) {
    const text = record[columns.anomaly]!.trim();
    label = parseLabel(text);
    if (label === undefined) throw new InvalidCellError(row, names[columns.anomaly]!, text, 'a label (0 or 1)');
  } else if (windows !== undefined) {
    label = isInWindows(windows, timeMs) ? 1 : 0;
  }
  return { row, timeMs, timeText, values, label };
}

function timeOf(text: string, row: number, column: string): number {
  const timeMs = parseTime(text.trim());
  if (timeMs === undefined) {
    throw new InvalidCellError(row, column, text.trim(), 'a time (like 2026-01-31 08:00:00, or epoch seconds)');
  }
  return timeMs;
}

function headerOf({ path, delimiter, names, columns, windows }: CsvTable): RecordingHeader {
  const named = (list: readonly number[]): string[] => list.map((column) => names[column]!);
  const byColumn = columns.anomaly === null ? null : 'column';
  return {
    path,
    delimiter,
    timestamp: columns.time === null ? null : names[columns.time]!,
    channels: named(columns.channels),
    labelColumns: named(columns.labels),
    ignoredColumns: named(columns.ignored),
    labelledBy: byColumn ?? (windows === undefined ? null : 'windows'),
  };
}
