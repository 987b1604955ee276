import type { BatchMessage } from '@drover/contracts';
import type { DeviceMessage } from '../../../platform/broker/device-gateway.ts';
import type { Batch } from './group-commit.ts';
import type { Reading } from './measurement-form.ts';

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
const INITIAL_BYTES = 64 * 2 ** 10;
/** Where the array of values begins in a row, behind its type and length. */
const ARRAY_AT = 82;
const ARRAY_HEADER_BYTES = 20;
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
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = HEADER_BYTES;
  #rows = 0;

  constructor(initialBytes = INITIAL_BYTES) {
    this.#bytes = new Uint8Array(initialBytes);
    this.#view = new DataView(this.#bytes.buffer);
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

  add(message: DeviceMessage, keys: SampleKeys, content: Reading | BatchMessage): void {
    const start = this.#length;
    const rowsBefore = this.#rows;
    if ('columns' in content) this.#addColumns(keys, content);
    else this.#addSample(keys, content);
    this.messages.push({ message, start, rows: this.#rows - rowsBefore });
  }

  /** The parameter's bytes; valid until something is added. @param rowType OID of the composite type `samples` */
  parameter(rowType: number): Buffer {
    const view = this.#view;
    view.setInt32(0, 1); // dimensions
    view.setInt32(4, 0); // no nulls
    view.setInt32(8, rowType);
    view.setInt32(12, this.#rows);
    view.setInt32(16, 1); // lower bound
    return Buffer.from(this.#bytes.buffer, 0, this.#length);
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
    part.#bytes.set(this.#bytes.subarray(first, end), HEADER_BYTES);
    part.#length = HEADER_BYTES + end - first;
    for (const { message, start, rows } of this.messages.slice(from, to)) {
      part.messages.push({ message, start: start - first + HEADER_BYTES, rows });
      part.#rows += rows;
    }
    return part;
  }

  #addSample(keys: SampleKeys, { t, seq, values }: Reading): void {
    let at = this.#beginRow(keys, t, seq, 0, values.length);
    for (let i = 0; i < values.length; i++) at = writeValue(this.#view, at, values[i]!);
    this.#endRow(at);
  }

  #addColumns(keys: SampleKeys, batch: BatchMessage): void {
    const { columns, times, t0, dt, seq } = batch;
    const rows = columns[0]!.length;
    for (let row = 0; row < rows; row++) {
      const t = times === undefined ? t0! + row * dt! : times[row]!;
      let at = this.#beginRow(keys, t, seq, row, columns.length);
      for (let c = 0; c < columns.length; c++) at = writeValue(this.#view, at, columns[c]![row]!);
      this.#endRow(at);
    }
  }

  /** Writes everything before the values. @returns where the first value goes */
  #beginRow(keys: SampleKeys, tMs: number, seq: number, idx: number, values: number): number {
    this.#reserve(ROW_BYTES + 8 * values);
    const view = this.#view;
    const start = this.#length;
    // The row's own length, at `start`, is known at its end.
    view.setInt32(start + 4, SAMPLE_COLUMNS.length);
    writeInt4(view, start + 8, keys.stream);
    writeInt8(view, start + 20, TIMESTAMPTZ, Math.round(tMs * 1_000) - POSTGRES_EPOCH_US);
    writeInt4(view, start + 36, keys.boot);
    writeInt8(view, start + 48, INT8, seq);
    view.setInt32(start + 64, INT2);
    view.setInt32(start + 68, 2);
    view.setInt16(start + 72, idx);
    view.setInt32(start + 74, FLOAT4_ARRAY);
    // Its length, at `start + 78`, is known at the end of the row.
    view.setInt32(start + 82, 1); // dimensions
    view.setInt32(start + 86, 0); // nulls are found by the reader
    view.setInt32(start + 90, FLOAT4);
    view.setInt32(start + 94, values);
    view.setInt32(start + 98, 1); // lower bound
    return start + ARRAY_AT + ARRAY_HEADER_BYTES;
  }

  /** Writes what follows the values, and the lengths that were left open. */
  #endRow(end: number): void {
    const view = this.#view;
    const start = this.#length;
    view.setInt32(start + ARRAY_AT - 4, end - start - ARRAY_AT);
    view.setInt32(end, TIMESTAMPTZ);
    view.setInt32(end + 4, -1); // null: the insert leaves `received_at` to its default
    view.setInt32(start, end + 8 - start - 4);
    this.#length = end + 8;
    this.#rows += 1;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

function writeInt4(view: DataView, at: number, value: number): void {
  view.setInt32(at, INT4);
  view.setInt32(at + 4, 4);
  view.setInt32(at + 8, value);
}

/** A 64-bit value of a type, exact up to 2^53 and rounded beyond it like every number here. */
function writeInt8(view: DataView, at: number, type: number, value: number): void {
  view.setInt32(at, type);
  view.setInt32(at + 4, 8);
  const high = Math.floor(value / TWO_TO_32);
  view.setInt32(at + 8, high);
  view.setUint32(at + 12, value - high * TWO_TO_32);
}

function writeValue(view: DataView, at: number, value: number | null): number {
  if (value === null) {
    view.setInt32(at, -1);
    return at + 4;
  }
  view.setInt32(at, 4);
  view.setFloat32(at + 4, value);
  return at + 8;
}
