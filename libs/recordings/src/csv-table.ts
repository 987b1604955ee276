import { chooseColumns } from './columns.ts';
import type { Columns } from './columns.ts';
import { readRecords, sniffDelimiter } from './csv-records.ts';
import { InvalidRecordingError } from './errors.ts';
import { findLabelWindows } from './label-windows.ts';
import type { LabelWindow } from './label-windows.ts';

/** How a CSV file is read; what is left out is found in the file. */
export interface RecordingOptions {
  /** One character. Default: found from the header line. */
  readonly delimiter?: string | undefined;
  /** Name of the column with the time. Default: found. */
  readonly timestamp?: string | undefined;
  /** Names of label columns besides the well-known ones; they never reach `values`. */
  readonly labels?: readonly string[] | undefined;
  /** Names and order of the channels. Default: every numeric column that is no time and no label. */
  readonly channels?: readonly string[] | undefined;
  /** For a file without times: rows per second, the first at the Unix epoch. */
  readonly rateHz?: number | undefined;
  /** Default 64 KiB. */
  readonly maxLineBytes?: number | undefined;
  /** Default 1,024. */
  readonly maxColumns?: number | undefined;
  /** Rows that are looked at to tell what the columns are. Default 64. */
  readonly columnRows?: number | undefined;
}

/** A CSV file of which is known what its columns are. Read `records` once, or close it. */
export interface CsvTable {
  readonly path: string;
  readonly delimiter: string;
  /** Of all columns, trimmed. */
  readonly names: readonly string[];
  readonly columns: Columns;
  /** Label windows in a file beside the data, where no column has labels. */
  readonly windows: readonly LabelWindow[] | undefined;
  /** The header not counted. */
  readonly records: AsyncGenerator<readonly string[][]>;
  close(): Promise<void>;
}

const COLUMN_ROWS = 64;

/**
 * Opens a CSV file and decides what its columns are, from its header and first rows.
 *
 * @throws RecordingUnreadableError, InvalidRecordingError, RecordingTooLargeError, InvalidLabelsError; the first three
 *   also while records are read
 */
export async function openTable(path: string, options: RecordingOptions = {}): Promise<CsvTable> {
  const { rateHz, columnRows = COLUMN_ROWS } = options;
  if (rateHz !== undefined && !(rateHz > 0 && Number.isFinite(rateHz))) {
    throw new InvalidRecordingError(`The rate must be a positive number of rows per second, not ${rateHz}`);
  }
  const delimiter = options.delimiter ?? (await sniffDelimiter(path));
  const records = readRecords(path, delimiter, {
    maxLineBytes: options.maxLineBytes ?? 64 * 2 ** 10,
    maxColumns: options.maxColumns ?? 1_024,
  });
  try {
    const begun = await readAtLeast(records, columnRows + 1);
    const [header, ...rows] = begun;
    if (header === undefined) throw new InvalidRecordingError('The file is empty');
    const names = header.map((name) => name.trim());
    const sample = rows.slice(0, columnRows);
    const columns = chooseColumns(names, sample, { ...options, timeOptional: rateHz !== undefined });
    const windows = columns.anomaly === null ? await findLabelWindows(path) : undefined;
    const all = withBegun(rows, records);
    const close = async (): Promise<void> => {
      await all.return(undefined);
      // A generator that was never begun does not run its `finally`.
      await records.return(undefined);
    };
    return { path, delimiter, names, columns, windows, records: all, close };
  } catch (error) {
    await records.return(undefined);
    throw error;
  }
}

/** What is wrong further on is thrown to whoever reads that far, not to who opens the file. */
async function readAtLeast(records: AsyncGenerator<readonly string[][]>, count: number): Promise<string[][]> {
  const begun: string[][] = [];
  while (begun.length < count) {
    const next = await records.next();
    if (next.done === true) break;
    begun.push(...next.value);
  }
  return begun;
}

async function* withBegun(
  begun: readonly string[][],
  records: AsyncGenerator<readonly string[][]>,
): AsyncGenerator<readonly string[][]> {
  try {
    if (begun.length > 0) yield begun;
    yield* records;
  } finally {
    await records.return(undefined);
  }
}
