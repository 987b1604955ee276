import { CallerError } from '@drover/runtime';
import { isMissing, parseLabel, parseNumber, parseTime } from './cells.ts';
import { ChannelStatistics } from './channel-statistics.ts';
import { openTable } from './csv-table.ts';
import type { CsvTable, RecordingOptions } from './csv-table.ts';
import { problemsBetween, problemsOf } from './dataset-problems.ts';
import type { DatasetProblem, DatasetReport, RecordingReport } from './dataset-report.ts';
import type { BadCells, Findings } from './findings.ts';
import { isInWindows } from './label-windows.ts';
import { TimeSteps } from './time-steps.ts';

export interface InspectedFile {
  /** What people call it: the problems say it. */
  readonly name: string;
  readonly path: string;
}

/**
 * Reads recordings from end to end and says what is in them, and what is wrong with them. Streamed: memory does not grow
 * with the number of rows (each file costs its columns' statistics and a histogram of its time steps, from which the
 * median step comes: exact for regular times, otherwise to about 1 %). A file that cannot be read as a recording is an
 * error in the report, not an exception.
 *
 * @throws RecordingUnreadableError where a file cannot be opened; the signal's reason when aborted
 */
export async function inspectRecordings(
  files: readonly InspectedFile[],
  options: RecordingOptions = {},
  signal?: AbortSignal,
): Promise<DatasetReport> {
  const reports: RecordingReport[] = [];
  const problems: DatasetProblem[] = [];
  const found: Findings[] = [];
  for (const { name, path } of files) {
    try {
      const findings = await inspectFile(name, path, options, signal);
      found.push(findings);
      reports.push(findings.report);
      problems.push(...problemsOf(findings));
    } catch (error) {
      if (!(error instanceof CallerError)) throw error;
      problems.push({ severity: 'error', file: name, message: bounded(error.message.replaceAll(path, name)) });
    }
  }
  if (files.length === 0)
    problems.push({ severity: 'error', file: null, message: 'There is no file: add at least one.' });
  problems.push(...problemsBetween(found));
  return { rows: reports.reduce((sum, { rows }) => sum + rows, 0), files: reports, problems };
}

async function inspectFile(
  name: string,
  path: string,
  options: RecordingOptions,
  signal: AbortSignal | undefined,
): Promise<Findings> {
  const table = await openTable(path, options);
  const scan = new TableScan(table);
  let stopped: string | undefined;
  try {
    for await (const records of table.records) {
      signal?.throwIfAborted();
      for (const record of records) scan.add(record);
    }
  } catch (error) {
    if (!(error instanceof CallerError)) throw error;
    stopped = bounded(error.message);
  } finally {
    await table.close();
  }
  return scan.findings(name, options.rateHz, stopped);
}

/** All that is remembered of a file while it streams by. */
class TableScan {
  readonly #table: CsvTable;
  readonly #channels: readonly ChannelStatistics[];
  readonly #texts: (BadCells | undefined)[];
  readonly #steps = new TimeSteps();
  #times: BadCells | undefined;
  #badLabels: BadCells | undefined;
  #labelled = 0;
  #firstMs = Number.NaN;
  #lastMs = Number.NaN;
  rows = 0;

  constructor(table: CsvTable) {
    this.#table = table;
    this.#channels = table.columns.channels.map((column) => new ChannelStatistics(table.names[column]!));
    this.#texts = table.columns.channels.map(() => undefined);
  }

  add(record: readonly string[]): void {
    this.rows += 1;
    const timeMs = this.#addTime(record);
    this.#addValues(record);
    this.#addLabel(record, timeMs);
  }

  findings(name: string, rateHz: number | undefined, stopped: string | undefined): Findings {
    const { columns, names, windows } = this.#table;
    const named = (list: readonly number[]): string[] => list.map((column) => names[column]!);
    const { medianMs, gaps, irregularShare } = this.#steps.summary();
    const given = columns.time === null;
    return {
      report: {
        name,
        rows: this.rows,
        startAt: instantOf(this.#firstMs),
        endAt: instantOf(this.#lastMs),
        rateHz: given ? (rateHz ?? null) : medianMs === null ? null : 1_000 / medianMs,
        gaps,
        duplicateTimes: this.#steps.duplicates,
        backwardTimes: this.#steps.backward,
        irregularShare,
        channels: this.#channels.map((channel) => channel.report()),
        labels: named(columns.labels),
        ignored: named(columns.ignored),
        labelShare:
          this.rows === 0 || (columns.anomaly === null && windows === undefined) ? null : this.#labelled / this.rows,
      },
      texts: this.#texts.filter((text) => text !== undefined),
      times: this.#times,
      labels: this.#badLabels,
      steps: { medianMs, given },
      stopped,
    };
  }

  #addTime(record: readonly string[]): number {
    const { columns, names } = this.#table;
    if (columns.time === null) return Number.NaN;
    const text = record[columns.time]!.trim();
    const timeMs = parseTime(text);
    if (timeMs === undefined) {
      this.#times = counted(this.#times, names[columns.time]!, this.rows, text);
      return Number.NaN;
    }
    this.#steps.add(timeMs);
    if (Number.isNaN(this.#firstMs)) this.#firstMs = timeMs;
    this.#lastMs = timeMs;
    return timeMs;
  }

  #addValues(record: readonly string[]): void {
    const { channels, decimalComma } = this.#table.columns;
    for (let c = 0; c < channels.length; c += 1) {
      const text = record[channels[c]!]!.trim();
      const value = parseNumber(text, decimalComma);
      if (value === undefined) this.#texts[c] = counted(this.#texts[c], this.#channels[c]!.name, this.rows, text);
      else this.#channels[c]!.add(value);
    }
  }

  #addLabel(record: readonly string[], timeMs: number): void {
    const { columns, names, windows } = this.#table;
    if (columns.anomaly === null) {
      if (windows !== undefined && isInWindows(windows, timeMs)) this.#labelled += 1;
      return;
    }
    const text = record[columns.anomaly]!.trim();
    const label = isMissing(text) ? 0 : parseLabel(text);
    if (label === undefined) this.#badLabels = counted(this.#badLabels, names[columns.anomaly]!, this.rows, text);
    else this.#labelled += label;
  }
}

function counted(cells: BadCells | undefined, column: string, row: number, text: string): BadCells {
  if (cells === undefined) return { column, firstRow: row, text: text.slice(0, 40), count: 1 };
  cells.count += 1;
  return cells;
}

const FIRST_YEAR_MS = Date.UTC(1000, 0, 1);
const LAST_YEAR_MS = Date.UTC(9999, 11, 31);

/** Null for what ISO 8601 writes with more than four digits of year. */
function instantOf(timeMs: number): string | null {
  return timeMs >= FIRST_YEAR_MS && timeMs <= LAST_YEAR_MS ? new Date(timeMs).toISOString() : null;
}

const MOST_CHARACTERS = 900;

function bounded(message: string): string {
  return message.length > MOST_CHARACTERS ? `${message.slice(0, MOST_CHARACTERS)}…` : message;
}
