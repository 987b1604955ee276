/** What one cell of a CSV file can mean. */

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;
const DECIMAL_COMMA = /^[+-]?\d*,\d+([eE][+-]?\d+)?$/;
const MISSING = new Set(['', 'nan', 'na', 'n/a', 'null', 'none', '-', '?']);

export function isMissing(text: string): boolean {
  return text === '' || (text.length <= 4 && MISSING.has(text.toLowerCase()));
}

/** True for `1,5`, which is a number where `;` or a tab separates the columns. */
export function hasDecimalComma(text: string): boolean {
  return DECIMAL_COMMA.test(text);
}

/** NaN for a missing value, undefined for what is no number. */
export function parseNumber(text: string, decimalComma: boolean): number | undefined {
  const plain = decimalComma ? text.replace(',', '.') : text;
  if (NUMBER.test(plain)) return Number(plain);
  return isMissing(text) ? Number.NaN : undefined;
}

/** 0 or 1, undefined for what is no label; a missing one is 0. */
export function parseLabel(text: string): 0 | 1 | undefined {
  if (NUMBER.test(text)) return Number(text) === 0 ? 0 : 1;
  const word = text.toLowerCase();
  if (word === 'true' || word === 'yes' || word === 'anomaly' || word === 'anomalous') return 1;
  if (word === 'false' || word === 'no' || word === 'normal' || isMissing(text)) return 0;
  return undefined;
}

const CALENDAR =
  /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?)?$/i;

/** A number at least this large is already in the next finer unit: seconds, milliseconds, microseconds, nanoseconds. */
const SMALLEST_MS = 1e11;
const SMALLEST_US = 1e14;
const SMALLEST_NS = 1e17;
/** Of JavaScript's dates. */
const LARGEST_TIME_MS = 8.64e15;

/**
 * Reads a time as milliseconds since the Unix epoch. Calendar dates as in ISO 8601 or with a space; without a zone they are
 * UTC. Plain numbers are seconds, milliseconds, microseconds or nanoseconds since the epoch, by their size.
 *
 * @returns undefined for what is no time, dates that do not exist included
 */
export function parseTime(text: string): number | undefined {
  if (NUMBER.test(text)) {
    const timeMs = fromEpoch(Number(text));
    return Math.abs(timeMs) <= LARGEST_TIME_MS ? timeMs : undefined;
  }
  const match = CALENDAR.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone] = match;
  const utc = Date.UTC(+year!, +month! - 1, +day!, +hour, +minute, +second);
  const date = new Date(utc);
  // Date.UTC carries 31 February over into March and 24:61 into the next day: what comes back must be what went in.
  const exists =
    date.getUTCMonth() === +month! - 1 && date.getUTCDate() === +day! && +hour < 24 && +minute < 60 && +second < 60;
  if (!exists) return undefined;
  return utc + (fraction === '' ? 0 : Number(`0.${fraction}`) * 1_000) - zoneOffsetMs(zone);
}

function fromEpoch(value: number): number {
  const size = Math.abs(value);
  if (size >= SMALLEST_NS) return value / 1e6;
  if (size >= SMALLEST_US) return value / 1e3;
  return size >= SMALLEST_MS ? value : value * 1e3;
}

function zoneOffsetMs(zone: string | undefined): number {
  if (zone === undefined || !/^[+-]/.test(zone)) return 0;
  const sign = zone.startsWith('-') ? -1 : 1;
  const digits = zone.slice(1).replace(':', '');
  return sign * (Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))) * 60_000;
}
