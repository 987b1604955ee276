import { InvalidRecordingError } from './errors.ts';
import { hasDecimalComma, isMissing, parseNumber, parseTime } from './cells.ts';

/** What each column of a recording is; indices into a record. */
export interface Columns {
  readonly time: number | null;
  /** The column that says whether a row is anomalous; one of `labels`. */
  readonly anomaly: number | null;
  readonly channels: readonly number[];
  /** Known or named label columns: never among the channels. */
  readonly labels: readonly number[];
  /** Text, unnamed and row-number columns. */
  readonly ignored: readonly number[];
  readonly decimalComma: boolean;
}

export interface ColumnChoice {
  /** Name of the column with the time; default: found. */
  readonly timestamp?: string | undefined;
  /** Names of more label columns; the first that exists tells whether a row is anomalous. */
  readonly labels?: readonly string[] | undefined;
  /** Names and order of the channels; default: all numeric columns that are nothing else. */
  readonly channels?: readonly string[] | undefined;
  /** Whether a file without a time column is accepted. */
  readonly timeOptional: boolean;
}

const TIME_NAMES = ['timestamp', 'datetime', 'date_time', 'time', 'date', 'ts'];
/** The names by which a row is said to be anomalous come first. */
const LABEL_NAMES = [
  'anomaly',
  'is_anomaly',
  'label',
  'labels',
  'is_anomalous',
  'outlier',
  'is_outlier',
  'changepoint',
];
const ANOMALY_NAMES = new Set(LABEL_NAMES.filter((name) => name !== 'changepoint'));
/** As many names as a message lists. */
const SHOWN_NAMES = 12;
/** A running number would be a feature that only says how late it is. */
const ROW_NUMBER_NAMES = new Set(['', 'index', 'row', 'row_id', 'id', 'unnamed: 0']);

/**
 * Decides what each column is, from the header and the first records.
 *
 * @throws InvalidRecordingError
 */
export function chooseColumns(header: readonly string[], sample: readonly string[][], choice: ColumnChoice): Columns {
  const names = header.map((name) => name.trim());
  checkNames(names);
  const labels = labelColumns(names, choice.labels ?? []);
  const time = timeColumn(names, sample, choice, labels);
  const cells = (column: number): string[] =>
    sample.map((record) => (record[column] ?? '').trim()).filter((text) => !isMissing(text));
  const decimalComma = names.some((_, i) => i !== time && cells(i).some(hasDecimalComma));
  // Where most cells are numbers, the others are mistakes and are told as such; a column of text is left out.
  const isNumeric = (column: number): boolean => {
    const texts = cells(column);
    const numbers = texts.filter((text) => parseNumber(text, decimalComma) !== undefined).length;
    return numbers * 2 > texts.length || texts.length === 0;
  };
  const isFree = (i: number): boolean => i !== time && !labels.includes(i);
  const numeric = names.flatMap((name, i) =>
    isFree(i) && !ROW_NUMBER_NAMES.has(name.toLowerCase()) && isNumeric(i) ? [i] : [],
  );
  const channels = choice.channels === undefined ? numeric : namedChannels(names, choice.channels, isFree);
  if (channels.length === 0) {
    throw new InvalidRecordingError(
      'No numeric column that could be a channel: a recording needs at least one column of numbers besides time and labels',
    );
  }
  return {
    time,
    anomaly:
      labels.find((i) => ANOMALY_NAMES.has(names[i]!.toLowerCase()) || choice.labels?.includes(names[i]!)) ?? null,
    channels,
    labels,
    ignored: names.flatMap((_, i) => (isFree(i) && !channels.includes(i) ? [i] : [])),
    decimalComma,
  };
}

function checkNames(names: readonly string[]): void {
  if (names.every((name) => parseNumber(name, false) !== undefined || parseTime(name) !== undefined)) {
    throw new InvalidRecordingError('The first line must name the columns');
  }
  const seen = new Set<string>();
  for (const name of names) {
    if (name !== '' && seen.has(name)) throw new InvalidRecordingError(`Two columns are called "${name}"`);
    seen.add(name);
  }
}

/** Named ones first, then the well-known names in their order of preference. */
function labelColumns(names: readonly string[], named: readonly string[]): number[] {
  const lower = names.map((name) => name.toLowerCase());
  const columns = named.map((name) => {
    const column = names.indexOf(name);
    if (column < 0) throw noColumn(names, name, ' for the labels');
    return column;
  });
  for (const name of LABEL_NAMES) {
    const column = lower.indexOf(name);
    if (column >= 0 && !columns.includes(column)) columns.push(column);
  }
  return columns;
}

function timeColumn(
  names: readonly string[],
  sample: readonly string[][],
  choice: ColumnChoice,
  labels: readonly number[],
): number | null {
  if (choice.timestamp !== undefined) {
    const column = names.indexOf(choice.timestamp);
    if (column < 0) throw noColumn(names, choice.timestamp, ' for the time');
    return column;
  }
  const first = (column: number): string =>
    sample.map((record) => (record[column] ?? '').trim()).find((text) => text !== '') ?? '';
  const lower = names.map((name) => name.toLowerCase());
  for (const name of TIME_NAMES) {
    const column = lower.indexOf(name);
    if (column >= 0 && (sample.length === 0 || parseTime(first(column)) !== undefined)) return column;
  }
  // A column of calendar dates is a time whatever it is called; a plain number could be anything.
  const dated = names.findIndex(
    (_, i) => !labels.includes(i) && parseNumber(first(i), false) === undefined && parseTime(first(i)) !== undefined,
  );
  if (dated >= 0) return dated;
  if (choice.timeOptional) return null;
  throw new InvalidRecordingError(
    `No column holds a time (looked for ${TIME_NAMES.join(', ')}, then for dates): name it, or give the rate`,
  );
}

function namedChannels(
  names: readonly string[],
  wanted: readonly string[],
  isFree: (column: number) => boolean,
): number[] {
  return wanted.map((name) => {
    const column = names.indexOf(name);
    if (column < 0) throw noColumn(names, name);
    if (!isFree(column))
      throw new InvalidRecordingError(`Column "${name}" is a time or a label and cannot be a channel`);
    return column;
  });
}

/** Names those that there are: most often the one that was meant is spelled otherwise, or the delimiter is wrong. */
function noColumn(names: readonly string[], name: string, purpose = ''): InvalidRecordingError {
  const shown = names.slice(0, SHOWN_NAMES).map((one) => `"${one}"`);
  const rest = names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : '';
  return new InvalidRecordingError(`There is no column "${name}"${purpose}; there are ${shown.join(', ')}${rest}`);
}
