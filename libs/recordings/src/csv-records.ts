import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { InvalidRecordingError, RecordingTooLargeError, RecordingUnreadableError } from './errors.ts';

export const DELIMITERS = [',', ';', '\t', '|'] as const;

export interface CsvLimits {
  /** Longer lines are refused; no more than this is held of one. */
  readonly maxLineBytes: number;
  readonly maxColumns: number;
}

const UNUSABLE_DELIMITERS = new Set(['"', '\n', '\r']);

const HEAD_BYTES = 64 * 2 ** 10;

/**
 * Finds out what separates the columns: the candidate that the header line holds most often, outside of quotes.
 *
 * @throws RecordingUnreadableError, InvalidRecordingError when the file is empty or not text
 */
export async function sniffDelimiter(path: string): Promise<string> {
  const head = await readHead(path);
  if (head.includes(0)) throw new InvalidRecordingError(`${path} is not a text file in UTF-8`);
  const text = head.toString('utf8').replace(/^\uFEFF/, '');
  const header = text.split(/\r?\n|\r/).find((line) => line.trim() !== '');
  if (header === undefined) throw new InvalidRecordingError(`${path} is empty`);
  const bare = header.replaceAll(/"[^"]*"/g, '');
  const counts = DELIMITERS.map((delimiter) => bare.split(delimiter).length - 1);
  return DELIMITERS[counts.indexOf(Math.max(...counts))]!;
}

async function readHead(path: string): Promise<Buffer> {
  try {
    await using file = await open(path, 'r');
    const buffer = Buffer.alloc(HEAD_BYTES);
    const { bytesRead } = await file.read(buffer, 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/**
 * Streams a file's records, the header first, with bounded memory. Empty lines are skipped.
 *
 * @throws RecordingUnreadableError, RecordingTooLargeError, InvalidRecordingError
 */
export async function* readRecords(path: string, delimiter: string, limits: CsvLimits): AsyncGenerator<string[]> {
  if (delimiter.length !== 1 || UNUSABLE_DELIMITERS.has(delimiter)) {
    throw new InvalidRecordingError(
      `${JSON.stringify(delimiter)} cannot separate columns: it must be one character, no quote and no line break`,
    );
  }
  const file: Readable = createReadStream(path);
  const parser = parse({
    delimiter,
    bom: true,
    skip_empty_lines: true,
    relax_column_count: true,
    max_record_size: limits.maxLineBytes,
  });
  file.on('error', (cause) => parser.destroy(unreadable(path, cause)));
  file.pipe(parser);
  let width: number | undefined;
  let row = 0;
  try {
    for await (const record of parser as AsyncIterable<string[]>) {
      width ??= record.length;
      if (width > limits.maxColumns) {
        throw new RecordingTooLargeError(`${width} columns; at most ${limits.maxColumns} are read`);
      }
      if (record.length !== width) {
        throw new InvalidRecordingError(`Row ${row} has ${record.length} columns, the header has ${width}`);
      }
      yield record;
      row += 1;
    }
  } catch (error) {
    throw translated(error, row, limits);
  } finally {
    file.destroy();
    parser.destroy();
  }
}

function translated(error: unknown, row: number, limits: CsvLimits): unknown {
  if (!(error instanceof CsvError)) return error;
  if (error.code === 'CSV_MAX_RECORD_SIZE') {
    return new RecordingTooLargeError(`A line after row ${row} is longer than ${limits.maxLineBytes} bytes`);
  }
  return new InvalidRecordingError(`After row ${row}: ${error.message}`, { cause: error });
}

function unreadable(path: string, cause: unknown): RecordingUnreadableError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RecordingUnreadableError(`Cannot read ${path}: ${reason}`, { cause });
}
