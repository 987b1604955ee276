import type { BatchMessage, SampleMessage } from '@drover/contracts';
import type { DeviceMessage } from '../../../platform/broker/device-gateway.ts';
import type { Batch } from './group-commit.ts';
import { isBatch } from './measurement-message.ts';

/**
 * Rows of `samples` in the binary form of PostgreSQL's array type `samples[]` (array_send, record_send), written as they come: one
 * parameter of one INSERT. Half the cost of text for both sides: nothing is formatted here and nothing parsed there.
 *
 * INVARIANT: `SAMPLE_COLUMNS` are the table's columns in their order; the repository checks that against the catalogue.
 */
export const SAMPLE_COLUMNS = ['stream_id', 'at', 'boot_id', 'seq', 'idx', 'values', 'received_at'] as const;

const INT2 = 21;
const INT4 = 23;
const INT8 = 20;
const FLOAT4 = 700;
const FLOAT4_ARRAY = 1021;
const TIMESTAMPTZ = 1184;

const HEADER_BYTES = 20;
/** Column count, six columns with their types and lengths, the array's header; the null of `received_at`. */
const ROW_BYTES = 4 + 4 + 12 + 16 + 12 + 16 + 10 + 8 + 20 + 8;
const INITIAL_BYTES = 256 * 2 ** 10;
/** 2000-01-01, from which PostgreSQL counts, in microseconds since 1970. */
const POSTGRES_EPOCH_US = 946_684_800_000_000;
const TWO_TO_32 = 4_294_967_296;

/** A message whose rows are in a batch. */
export interface BatchedMessage {
  readonly message: DeviceMessage;
  /** Where its rows begin in the batch, in bytes. */
  readonly start: number;
  readonly rows: number;
}

export interface SampleKeys {
  readonly stream: number;
  readonly boot: number;
}

export class SampleBatch implements Batch {
  readonly messages: BatchedMessage[] = [];
  #buffer: Buffer;
  #length = HEADER_BYTES;
  #rows = 0;

  constructor(initialBytes = INITIAL_BYTES) {
    this.#buffer = Buffer.allocUnsafe(initialBytes);
  }

  get size(): number {
    return this.messages.length;
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#length;
  }

  add(message: DeviceMessage, keys: SampleKeys, content: SampleMessage | BatchMessage): void {
    const start = this.#length;
    const rowsBefore = this.#rows;
    if (isBatch(content)) this.#addColumns(keys, content);
    else this.#addSample(keys, content);
    this.messages.push({ message, start, rows: this.#rows - rowsBefore });
  }

  /** The parameter's bytes; valid until the batch is cleared. @param rowType OID of the composite type `samples` */
  parameter(rowType: number): Buffer {
    const buffer = this.#buffer;
    buffer.writeInt32BE(1, 0); // dimensions
    buffer.writeInt32BE(0, 4); // no nulls
    buffer.writeInt32BE(rowType, 8);
    buffer.writeInt32BE(this.#rows, 12);
    buffer.writeInt32BE(1, 16); // lower bound
    return buffer.subarray(0, this.#length);
  }

  /** Two batches of half the messages each, for a batch of two messages or more. */
  split(): readonly [SampleBatch, SampleBatch] {
    const middle = this.messages.length >> 1;
    return [this.#slice(0, middle), this.#slice(middle, this.messages.length)];
  }

  #slice(from: number, to: number): SampleBatch {
    const first = this.messages[from]!.start;
    const end = this.messages[to]?.start ?? this.#length;
    const part = new SampleBatch(HEADER_BYTES + end - first);
    this.#buffer.copy(part.#buffer, HEADER_BYTES, first, end);
    part.#length = HEADER_BYTES + end - first;
    for (const { message, start, rows } of this.messages.slice(from, to)) {
      part.messages.push({ message, start: start - first + HEADER_BYTES, rows });
      part.#rows += rows;
    }
    return part;
  }

  #addSample(keys: SampleKeys, { t, seq, values }: SampleMessage): void {
    let at = this.#beginRow(keys, t, seq, 0, values.length);
    const buffer = this.#buffer;
    for (let i = 0; i < values.length; i++) at = writeValue(buffer, at, values[i]!);
    this.#endRow(at);
  }

  #addColumns(keys: SampleKeys, batch: BatchMessage): void {
    const { columns, times, t0, dt, seq } = batch;
    const rows = columns[0]!.length;
    for (let row = 0; row < rows; row++) {
      const t = times === undefined ? t0! + row * dt! : times[row]!;
      let at = this.#beginRow(keys, t, seq, row, columns.length);
      const buffer = this.#buffer;
      for (let c = 0; c < columns.length; c++) at = writeValue(buffer, at, columns[c]![row]!);
      this.#endRow(at);
    }
  }

  /** Writes everything before the values. @returns where the first value goes */
  #beginRow(keys: SampleKeys, tMs: number, seq: number, idx: number, values: number): number {
    this.#reserve(ROW_BYTES + 8 * values);
    const buffer = this.#buffer;
    let at = this.#length + 4;
    at = buffer.writeInt32BE(SAMPLE_COLUMNS.length, at);
    at = writeInt4(buffer, at, keys.stream);
    at = writeInt8(buffer, at, TIMESTAMPTZ, Math.round(tMs * 1_000) - POSTGRES_EPOCH_US);
    at = writeInt4(buffer, at, keys.boot);
    at = writeInt8(buffer, at, INT8, seq);
    at = buffer.writeInt32BE(INT2, at);
    at = buffer.writeInt32BE(2, at);
    at = buffer.writeInt16BE(idx, at);
    at = buffer.writeInt32BE(FLOAT4_ARRAY, at);
    at += 4; // its length, known at the end of the row
    at = buffer.writeInt32BE(values === 0 ? 0 : 1, at);
    at = buffer.writeInt32BE(0, at); // the reader finds nulls for itself
    at = buffer.writeInt32BE(FLOAT4, at);
    if (values === 0) return at;
    at = buffer.writeInt32BE(values, at);
    return buffer.writeInt32BE(1, at);
  }

  /** Writes what follows the values, and the lengths that were left open. */
  #endRow(end: number): void {
    const buffer = this.#buffer;
    const array = this.#length + ROW_BYTES - 28;
    buffer.writeInt32BE(end - array, array - 4);
    let at = buffer.writeInt32BE(TIMESTAMPTZ, end);
    at = buffer.writeInt32BE(-1, at); // null: the insert leaves `received_at` to its default
    buffer.writeInt32BE(at - this.#length - 4, this.#length);
    this.#length = at;
    this.#rows += 1;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

function writeInt4(buffer: Buffer, at: number, value: number): number {
  buffer.writeInt32BE(INT4, at);
  buffer.writeInt32BE(4, at + 4);
  return buffer.writeInt32BE(value, at + 8);
}

/** A 64-bit value of a type, exact up to 2^53 and rounded beyond it like every number here. */
function writeInt8(buffer: Buffer, at: number, type: number, value: number): number {
  buffer.writeInt32BE(type, at);
  buffer.writeInt32BE(8, at + 4);
  const high = Math.floor(value / TWO_TO_32);
  buffer.writeInt32BE(high, at + 8);
  return buffer.writeUInt32BE(value - high * TWO_TO_32, at + 12);
}

function writeValue(buffer: Buffer, at: number, value: number | null): number {
  if (value === null) return buffer.writeInt32BE(-1, at);
  buffer.writeInt32BE(4, at);
  return buffer.writeFloatBE(value, at + 4);
}
