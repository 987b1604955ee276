import { batchMessageSchema, decodePayload, sampleMessageSchema } from '@drover/contracts';
import type { BatchMessage, SampleMessage } from '@drover/contracts';
import { messageOf, problemsOf } from '@drover/runtime';
import { InvalidMessageError } from './invalid-message.ts';

/**
 * Measurements come by the ten thousand a second: here is what `sampleMessageSchema` and `batchMessageSchema` say, written out by
 * hand (twenty times as fast). Property tests hold the two against each other; where a message is refused, the schema itself
 * says why.
 */

const MAX_CHANNELS = 256;
const MAX_ROWS = 16_384;
const MAX_EPOCH_MS = 8_640_000_000_000_000;
const MAX_FLOAT4 = 3.4028235677973366e38;

/** @throws InvalidMessageError saying what is wrong */
export function parseMeasurement(payload: Uint8Array): SampleMessage | BatchMessage {
  const value = decodeMessage(payload);
  if (isSampleMessage(value)) {
    if (value.values.length !== value.channels.length) throw new InvalidMessageError('values: one value per channel');
    if (!fitsFloat4(value.values)) throw outOfRange();
    return value;
  }
  if (isBatchMessage(value)) {
    if (!value.columns.every(fitsFloat4)) throw outOfRange();
    if (lastTimeOf(value) > MAX_EPOCH_MS)
      throw new InvalidMessageError('dt: the last row lies beyond what a timestamp can hold');
    return value;
  }
  throw describe(value);
}

export function isBatch(message: SampleMessage | BatchMessage): message is BatchMessage {
  return 'columns' in message && message.columns !== undefined;
}

/** @throws InvalidMessageError where the bytes are neither JSON nor CBOR */
export function decodeMessage(payload: Uint8Array): unknown {
  try {
    return decodePayload(payload);
  } catch (error) {
    throw new InvalidMessageError(`the payload cannot be decoded: ${messageOf(error)}`, { cause: error });
  }
}

/** What `sampleMessageSchema.safeParse(value).success` says, for a message without columns. */
export function isSampleMessage(value: unknown): value is SampleMessage {
  const message = value as Partial<SampleMessage & { columns: unknown }>;
  return (
    isDelivery(value) &&
    message.columns === undefined &&
    isEpochMs(message.t) &&
    isChannelNames(message.channels) &&
    isColumn(message.values, 0, MAX_CHANNELS)
  );
}

/** What `batchMessageSchema.safeParse(value).success` says. */
export function isBatchMessage(value: unknown): value is BatchMessage {
  const message = value as Partial<BatchMessage>;
  if (!isDelivery(value) || !isChannelNames(message.channels)) return false;
  const { columns, times, t0, dt } = message;
  if (!Array.isArray(columns) || columns.length !== message.channels.length) return false;
  const rows = (columns[0] as unknown[] | undefined)?.length;
  for (const column of columns) if (!isColumn(column, 1, MAX_ROWS) || column.length !== rows) return false;
  if (times === undefined) return isEpochMs(t0) && typeof dt === 'number' && dt > 0 && dt < Infinity;
  if (!Array.isArray(times) || times.length !== rows || t0 !== undefined || dt !== undefined) return false;
  return times.every(isEpochMs);
}

/** Device, boot and number are in order, and the class is that of measurements. */
function isDelivery(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { bootId, class: deliveryClass, seq } = value as Partial<SampleMessage>;
  return deliveryClass === 'm' && isId(bootId) && Number.isSafeInteger(seq) && seq! >= 1;
}

function isId(value: unknown): boolean {
  if (typeof value !== 'string' || value.length === 0 || value.length > 64) return false;
  for (let i = 0; i < value.length; i++) if (!isIdCharacter(value.charCodeAt(i))) return false;
  return true;
}

/** Letters, digits, `_` and `-`. */
function isIdCharacter(code: number): boolean {
  if (code >= 97) return code <= 122;
  if (code >= 65) return code <= 90 || code === 95;
  return (code >= 48 && code <= 57) || code === 45;
}

function isEpochMs(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= MAX_EPOCH_MS;
}

function isChannelNames(value: unknown): value is string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_CHANNELS) return false;
  for (let i = 0; i < value.length; i++) {
    const name: unknown = value[i];
    if (typeof name !== 'string' || name.length === 0 || name.length > 64) return false;
  }
  return true;
}

function isColumn(value: unknown, least: number, most: number): value is (number | null)[] {
  if (!Array.isArray(value) || value.length < least || value.length > most) return false;
  for (let i = 0; i < value.length; i++) {
    const element: unknown = value[i];
    if (element !== null && (typeof element !== 'number' || !Number.isFinite(element))) return false;
  }
  return true;
}

/** Values are kept as float4: what is too large for it is refused, what is too small becomes 0. */
function fitsFloat4(values: readonly (number | null)[]): boolean {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value >= MAX_FLOAT4 || value <= -MAX_FLOAT4) return false;
  }
  return true;
}

function lastTimeOf(batch: BatchMessage): number {
  return batch.times === undefined ? batch.t0! + batch.dt! * (batch.columns[0]!.length - 1) : 0;
}

function outOfRange(): InvalidMessageError {
  return new InvalidMessageError('values: beyond what a 32-bit float can hold (3.4e38)');
}

function describe(value: unknown): InvalidMessageError {
  const columnar = typeof value === 'object' && value !== null && 'columns' in value;
  const result = (columnar ? batchMessageSchema : sampleMessageSchema).safeParse(value);
  const problems = result.error ? problemsOf(result.error) : [{ path: '', message: 'neither a sample nor a batch' }];
  return InvalidMessageError.of(problems);
}
