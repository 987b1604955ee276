import { parseLabel, parseNumber, parseTime } from './cells.ts';
import { chooseColumns } from './columns.ts';
import type { Columns } from './columns.ts';
import { readRecords, sniffDelimiter } from './csv-records.ts';
import { InvalidCellError, InvalidRecordingError } from './errors.ts';
import { findLabelWindows, isInWindows } from './label-windows.ts';
import type { LabelWindow } from './label-windows.ts';

export interface RecordingOptions {
  /** Default: found from the header line. */
  readonly delimiter?: string;
  /** Name of the column with the time. Default: found. */
  readonly timestamp?: string;
  /** Names of label columns besides the well-known ones; they never reach `values`. */
  readonly labels?: readonly string[];
  /** Names and order of the channels. Default: every numeric column that is no time and no label. */
  readonly channels?: readonly string[];
  /** For a file without times: rows per second, the first at the Unix epoch. */
  readonly rateHz?: number;
  /** Default 64 KiB. */
  readonly maxLineBytes?: number;
  /** Default 1,024. */
  readonly maxColumns?: number;
}

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
  /** One per channel; NaN is missing. */
  readonly values: Float64Array;
  /** 1: anomalous. Undefined where the recording has no labels. */
  readonly label: 0 | 1 | undefined;
}

/** An opened recording: read its rows once, or close it. */
export interface Recording extends AsyncIterable<RecordingRow>, AsyncDisposable {
  readonly header: RecordingHeader;
  close(): Promise<void>;
}

/** Rows that are looked at to tell what the columns are. */
const SAMPLE_ROWS = 64;

/**
 * Opens a CSV recording (SKAB and NAB files as they are, and any other with a header line) and streams its rows with
 * bounded memory.
 *
 * @throws RecordingUnreadableError, InvalidRecordingError, RecordingTooLargeError, InvalidLabelsError; while
 *   iterating also InvalidCellError, which names row and column
 */
export async function readRecording(path: string, options: RecordingOptions = {}): Promise<Recording> {
  const delimiter = options.delimiter ?? (await sniffDelimiter(path));
  const records = readRecords(path, delimiter, {
    maxLineBytes: options.maxLineBytes ?? 64 * 2 ** 10,
    maxColumns: options.maxColumns ?? 1_024,
  });
  try {
    const first = await records.next();
    if (first.done === true) throw new InvalidRecordingError(`${path} is empty`);
    const names = first.value.map((name) => name.trim());
    const sample: string[][] = [];
    while (sample.length < SAMPLE_ROWS) {
      const next = await records.next();
      if (next.done === true) break;
      sample.push(next.value);
    }
    const columns = chooseColumns(names, sample, { ...options, timeOptional: options.rateHz !== undefined });
    const windows = columns.anomaly === null ? await findLabelWindows(path) : undefined;
    const header = headerOf(path, delimiter, names, columns, windows);
    return new CsvRecording(
      header,
      rowsOf(sample, records, { names, columns, windows, rateHz: options.rateHz }),
      records,
    );
  } catch (error) {
    await records.return(undefined);
    throw error;
  }
}

class CsvRecording implements Recording {
  readonly header: RecordingHeader;
  readonly #rows: AsyncGenerator<RecordingRow>;
  readonly #records: AsyncGenerator<string[]>;

  constructor(header: RecordingHeader, rows: AsyncGenerator<RecordingRow>, records: AsyncGenerator<string[]>) {
    this.header = header;
    this.#rows = rows;
    this.#records = records;
  }

  [Symbol.asyncIterator](): AsyncIterator<RecordingRow> {
    return this.#rows;
  }

  async close(): Promise<void> {
    await this.#rows.return(undefined);
    await this.#records.return(undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

interface RowSource {
  readonly names: readonly string[];
  readonly columns: Columns;
  readonly windows: readonly LabelWindow[] | undefined;
  readonly rateHz: number | undefined;
}

async function* rowsOf(
  sample: readonly string[][],
  records: AsyncGenerator<string[]>,
  source: RowSource,
): AsyncGenerator<RecordingRow> {
  try {
    let row = 0;
    for (const record of sample) yield rowOf(record, (row += 1), source);
    for await (const record of records) yield rowOf(record, (row += 1), source);
  } finally {
    await records.return(undefined);
  }
}

function rowOf(record: readonly string[], row: number, source: RowSource): RecordingRow {
  const { names, columns, windows } = source;
  const cell = (column: number): string => record[column]!.trim();
  const timeMs = timeOf(record, row, source);
  const values = new Float64Array(columns.channels.length);
  columns.channels.forEach((column, c) => {
    const value = parseNumber(cell(column), columns.decimalComma);
    if (value === undefined) throw new InvalidCellError(row, names[column]!, cell(column), 'a number');
    values[c] = value;
  });
  let label: 0 | 1 | undefined;
  if (columns.anomaly !== null) {
    label = parseLabel(cell(columns.anomaly));
    if (label === undefined) {
      throw new InvalidCellError(row, names[columns.anomaly]!, cell(columns.anomaly), 'a label (0 or 1)');
    }
  } else if (windows !== undefined) {
    label = isInWindows(windows, timeMs) ? 1 : 0;
  }
  return { row, timeMs, values, label };
}

function timeOf(record: readonly string[], row: number, { names, columns, rateHz }: RowSource): number {
  if (columns.time === null) return ((row - 1) * 1_000) / rateHz!;
  const text = record[columns.time]!.trim();
  const timeMs = parseTime(text);
  if (timeMs === undefined) {
    throw new InvalidCellError(row, names[columns.time]!, text, 'a time (like 2026-01-31 08:00:00, or epoch seconds)');
  }
  return timeMs;
}

function headerOf(
  path: string,
  delimiter: string,
  names: readonly string[],
  columns: Columns,
  windows: readonly LabelWindow[] | undefined,
): RecordingHeader {
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
