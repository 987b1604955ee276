import type { Measurement } from '../../telemetry/query/measurement-reader.service.ts';

const CHUNK_CHARACTERS = 64 * 1_024;

/** A name for the column with the time that no channel has. */
export function timeColumnFor(channels: readonly string[]): string {
  const taken = new Set(channels.map((channel) => channel.toLowerCase()));
  let name = 'timestamp';
  while (taken.has(name)) name = `${name}_`;
  return name;
}

/** Samples as CSV in UTF-8, in pieces: a header, then one row per sample; a missing value is an empty cell. */
export async function* csvOf(
  timeColumn: string,
  channels: readonly string[],
  samples: AsyncIterable<Measurement>,
): AsyncGenerator<Uint8Array> {
  let text = `${[timeColumn, ...channels].map(quoted).join(',')}\n`;
  for await (const { atMs, values } of samples) {
    text += timeOf(atMs);
    for (const value of values) text += `,${shortest(value)}`;
    text += '\n';
    if (text.length < CHUNK_CHARACTERS) continue;
    yield Buffer.from(text);
    text = '';
  }
  if (text !== '') yield Buffer.from(text);
}

function quoted(cell: string): string {
  return /[",;\t|\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/** ISO 8601 in UTC with microseconds where there are such; outside the years with four digits, milliseconds since 1970. */
function timeOf(atMs: number): string {
  const micros = Math.round(atMs * 1_000);
  const wholeMs = Math.floor(micros / 1_000);
  if (wholeMs < 0 || wholeMs > 253_402_300_799_999) return String(atMs);
  const rest = micros - wholeMs * 1_000;
  const iso = new Date(wholeMs).toISOString();
  return rest === 0 ? iso : `${iso.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
}

/** The shortest decimal that is the same float32: samples are stored as such. */
function shortest(value: number): string {
  if (!Number.isFinite(value)) return '';
  for (let digits = 6; digits < 9; digits += 1) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return String(rounded);
  }
  return String(Number(value.toPrecision(9)));
}
