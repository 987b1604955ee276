import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { DroverError } from '@drover/runtime';
import { CsvError, parse } from 'csv-parse';
import { InvalidRecordingError, RecordingTooLargeError, RecordingUnreadableError } from './errors.ts';

export const DELIMITERS = [',', ';', '\t', '|'] as const;

export interface CsvLimits {
  /** Longer lines are refused; no more than this is held of one. */
  readonly maxLineBytes: number;
  readonly maxColumns: number;
}

const UNUSABLE_DELIMITERS = new Set(['"', '\n', '\r']);

const QUOTED_BATCH = 512;

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
  if (header === undefined) throw new InvalidRecordingError('The file is empty');
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

/** Plain text at a time; a batch is the records in it. */
const CHUNK_BYTES = 128 * 2 ** 10;

/**
 * Streams a file's records, the header first, some at a time, with bounded memory. Empty lines are skipped. Lines without
 * quotes are split here, which is several times faster; from the first quote on, csv-parse does the rest of the file. What
 * comes before a mistake is given out before the mistake is thrown.
 *
 * @throws RecordingUnreadableError, RecordingTooLargeError, InvalidRecordingError
 */
export async function* readRecords(
  path: string,
  delimiter: string,
  limits: CsvLimits,
): AsyncGenerator<readonly string[][]> {
  if (delimiter.length !== 1 || UNUSABLE_DELIMITERS.has(delimiter)) {
    throw new InvalidRecordingError(
      `${JSON.stringify(delimiter)} cannot separate columns: it must be one character, no quote and no line break`,
    );
  }
  const file = createReadStream(path, { encoding: 'utf8', highWaterMark: CHUNK_BYTES });
  const widths = new WidthCheck(limits);
  try {
    for await (const records of splitText(file, delimiter, limits)) {
      const { good, problem } = widths.check(records);
      if (good.length > 0) yield good;
      if (problem !== undefined) throw problem;
    }
  } catch (error) {
    if (error instanceof CsvError) throw translated(error, widths.rows, limits);
    throw error instanceof DroverError ? error : unreadable(path, error);
  } finally {
    file.destroy();
  }
}

async function* splitText(
  file: AsyncIterable<string>,
  delimiter: string,
  limits: CsvLimits,
): AsyncGenerator<string[][]> {
  const chunks = file[Symbol.asyncIterator]();
  let rest = '';
  let first = true;
  let lines = 0;
  for (;;) {
    const { value, done } = await chunks.next();
    let text = done === true ? rest : rest + value;
    if (first) text = text.replace(/^\uFEFF/, '');
    first = false;
    const { records, end, foreign, long } = splitLines(text, delimiter, limits, {
      last: done === true,
      atHeader: lines === 0,
    });
    lines += records.length;
    if (records.length > 0) yield records;
    rest = text.slice(end);
    if (foreign) {
      yield* parseQuoted(rest, done === true ? undefined : chunks, delimiter, limits);
      return;
    }
    if (long || rest.length > limits.maxLineBytes) throw tooLong(lines - 1, limits);
    if (done === true) return;
  }
}

interface SplitLines {
  readonly records: string[][];
  /** Where the text that is left begins. */
  readonly end: number;
  /** What is left has quotes, or ends its lines in an unusual way. */
  readonly foreign: boolean;
  /** A line is longer than allowed. */
  readonly long: boolean;
}

function splitLines(
  text: string,
  delimiter: string,
  { maxLineBytes }: CsvLimits,
  { last, atHeader }: { readonly last: boolean; readonly atHeader: boolean },
): SplitLines {
  const records: string[][] = [];
  const quote = text.indexOf('"');
  const stop = quote < 0 ? text.length : quote;
  if (atHeader && hasBareReturns(text)) return { records, end: 0, foreign: true, long: false };
  let at = 0;
  for (;;) {
    let end = text.indexOf('\n', at);
    if (end < 0 && last && at < text.length) end = text.length;
    // A quote in this line, or perhaps in the part of it that is still to come.
    if (end < 0 || stop < end) return { records, end: at, foreign: quote >= 0, long: false };
    if (end - at > maxLineBytes) return { records, end: at, foreign: false, long: true };
    const line = text.slice(at, text[end - 1] === '\r' && end > at ? end - 1 : end);
    if (line !== '') records.push(line.split(delimiter));
    at = end + 1;
    if (at >= text.length) return { records, end: text.length, foreign: false, long: false };
  }
}

/** Lines that end with a carriage return alone, as old spreadsheets write them. */
function hasBareReturns(text: string): boolean {
  const carriage = text.indexOf('\r');
  return carriage >= 0 && carriage < text.length - 1 && text[carriage + 1] !== '\n';
}

async function* parseQuoted(
  begun: string,
  chunks: AsyncIterator<string> | undefined,
  delimiter: string,
  limits: CsvLimits,
): AsyncGenerator<string[][]> {
  const parser = parse({
    delimiter,
    skip_empty_lines: true,
    relax_column_count: true,
    max_record_size: limits.maxLineBytes,
  });
  const source = Readable.from(joined(begun, chunks));
  source.on('error', (cause) => parser.destroy(cause));
  source.pipe(parser);
  let batch: string[][] = [];
  try {
    for await (const record of parser as AsyncIterable<string[]>) {
      batch.push(record);
      if (batch.length < QUOTED_BATCH) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  } catch (error) {
    if (batch.length > 0) yield batch;
    throw error;
  } finally {
    source.destroy();
    parser.destroy();
  }
}

async function* joined(begun: string, chunks: AsyncIterator<string> | undefined): AsyncGenerator<string> {
  if (begun !== '') yield begun;
  if (chunks === undefined) return;
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
}

/** Every record must be as wide as the header. */
class WidthCheck {
  readonly #limits: CsvLimits;
  #width: number | undefined;
  /** Records so far, the header not counted; -1 before it. */
  rows = -1;

  constructor(limits: CsvLimits) {
    this.#limits = limits;
  }

  check(records: string[][]): { readonly good: string[][]; readonly problem?: Error } {
    for (let i = 0; i < records.length; i += 1) {
      const { length } = records[i]!;
      this.#width ??= length;
      if (this.#width > this.#limits.maxColumns) {
        const message = `${this.#width} columns; at most ${this.#limits.maxColumns} are read`;
        return { good: [], problem: new RecordingTooLargeError(message) };
      }
      if (length !== this.#width) {
        const message = `Row ${this.rows + 1} has ${length} columns, the header has ${this.#width}`;
        return { good: records.slice(0, i), problem: new InvalidRecordingError(message) };
      }
      this.rows += 1;
    }
    return { good: records };
  }
}

function translated(error: CsvError, row: number, limits: CsvLimits): Error {
  if (error.code === 'CSV_MAX_RECORD_SIZE') return tooLong(row, limits);
  // csv-parse counts lines from where it began, which says nothing here.
  const what =
    error.code === 'CSV_QUOTE_NOT_CLOSED' ? 'a quote is opened and never closed' : error.message.split(' at line')[0];
  return new InvalidRecordingError(`After row ${Math.max(0, row)}: ${what}`, { cause: error });
}

function tooLong(row: number, limits: CsvLimits): RecordingTooLargeError {
  return new RecordingTooLargeError(`A line after row ${Math.max(0, row)} is longer than ${limits.maxLineBytes} bytes`);
}

function unreadable(path: string, cause: unknown): RecordingUnreadableError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new RecordingUnreadableError(`Cannot read ${path}: ${reason}`, { cause });
}
