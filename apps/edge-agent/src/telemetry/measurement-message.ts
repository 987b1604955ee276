import type { BatchMessage, SampleMessage } from '@drover/contracts';
import type { Row } from './row-aggregator.ts';

/** Values in one message: a batch of this many stays far below the largest packet. */
export const MAX_BATCH_VALUES = 8_192;

type Body<Message> = Omit<Message, 'bootId' | 'class' | 'seq'>;
export type MeasurementBody = Body<SampleMessage> | Body<BatchMessage>;

/**
 * Rows of one stream as messages: a single row as a sample, more as columnar batches.
 *
 * @param rows each with one value per channel
 */
export function measurementMessages(channels: readonly string[], rows: readonly Row[]): MeasurementBody[] {
  const most = Math.max(1, Math.floor(MAX_BATCH_VALUES / channels.length));
  const messages: MeasurementBody[] = [];
  for (let from = 0; from < rows.length; from += most) {
    messages.push(messageOf(channels, rows.slice(from, from + most)));
  }
  return messages;
}

function messageOf(channels: readonly string[], rows: readonly Row[]): MeasurementBody {
  if (rows.length === 1) {
    return { t: rows[0]!.timeMs, channels: [...channels], values: Array.from(rows[0]!.values, wireValue) };
  }
  const columns = channels.map((_, c) => rows.map((row) => wireValue(row.values[c]!)));
  const spacing = evenSpacing(rows);
  return spacing === null
    ? { times: rows.map((row) => row.timeMs), channels: [...channels], columns }
    : { t0: rows[0]!.timeMs, dt: spacing, channels: [...channels], columns };
}

/** The spacing of rows that are evenly spaced to within a microsecond, else null. */
function evenSpacing(rows: readonly Row[]): number | null {
  const first = rows[0]!.timeMs;
  const spacing = (rows.at(-1)!.timeMs - first) / (rows.length - 1);
  if (spacing <= 0) return null;
  return rows.every((row, i) => Math.abs(row.timeMs - (first + i * spacing)) < 1e-3) ? spacing : null;
}

/** The shortest decimal that is the same float32; not finite is missing. */
export function wireValue(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  const short = Number(value.toPrecision(7));
  return Math.fround(short) === value ? short : Number(value.toPrecision(9));
}
