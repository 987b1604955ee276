import { messageOf } from '@drover/runtime';
import { Reader, Writer } from 'protobufjs/minimal.js';
import { MalformedModelError, ModelTooLargeError } from './errors.ts';
import type { Field, MessageSchema, ScalarKind } from './message-schema.ts';

/**
 * Protobuf messages ↔ plain objects, driven by the tables in `message-schema.ts`, over protobufjs' reader and writer.
 *
 * Why not protobufjs' own reflection: it drops a field with a wrong wire type in silence, returns `Long` objects, and has
 * no limit on what a small file may turn into. Here a wrong wire type is an error that names the field, 64-bit integers
 * are bigint, and what the objects will weigh is counted before they are made.
 */

export interface DecodeLimits {
  /** Largest encoded model, bytes. */
  readonly maxBytes: number;
  /** Estimated memory of everything decoded (byte fields are views and count only as objects), bytes. */
  readonly maxDecodedBytes: number;
  /** Nesting of messages; a subgraph inside an attribute adds three. */
  readonly maxDepth: number;
}

type Plain = Record<string, unknown> & { unknownFields?: Uint8Array[] };
type Value = string | number | bigint | Uint8Array;

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;
const WIRE_TYPES: Record<ScalarKind, number> = {
  string: DELIMITED,
  bytes: DELIMITED,
  float: FIXED32,
  double: FIXED64,
  int32: VARINT,
  int64: VARINT,
  uint64: VARINT,
  count: VARINT,
};

// Measured roughly on Node 24: what one decoded thing costs in memory.
const MESSAGE_COST = 400;
const VALUE_COST: Record<ScalarKind, number> = {
  string: 48,
  bytes: 160,
  float: 8,
  double: 8,
  int32: 8,
  int64: 32,
  uint64: 32,
  count: 8,
};

/**
 * @throws MalformedModelError with the path of the field that is wrong
 * @throws ModelTooLargeError when the objects would weigh more than the limits allow
 */
export function decodeMessage(schema: MessageSchema, bytes: Uint8Array, limits: DecodeLimits): Plain {
  return new Decoder(limits).message(schema, bytes, {}, [], 0);
}

class Decoder {
  readonly #limits: DecodeLimits;
  #decodedBytes = 0;

  constructor(limits: DecodeLimits) {
    this.#limits = limits;
  }

  message(schema: MessageSchema, bytes: Uint8Array, into: Plain, path: readonly string[], depth: number): Plain {
    if (depth > this.#limits.maxDepth) {
      throw new ModelTooLargeError(`${where(path)}: messages are nested deeper than ${this.#limits.maxDepth} levels.`);
    }
    this.#account(MESSAGE_COST, path);
    for (const [key, field] of Object.entries(schema.fields)) if (field.repeated) into[key] ??= [];
    const reader = new Reader(bytes);
    while (reader.pos < reader.len) {
      const start = reader.pos;
      const tag = reading(path, schema, () => reader.tag());
      const [key, field] = schema.byId.get(tag >>> 3) ?? [];
      if (key === undefined || field === undefined) {
        reading(path, schema, () => reader.skipType(tag & 7, depth, tag >>> 3));
        this.#account(VALUE_COST.bytes, path);
        (into.unknownFields ??= []).push(bytes.subarray(start, reader.pos));
      } else {
        this.#field(reader, tag & 7, key, field, into, path, depth);
      }
    }
    return into;
  }

  #field(
    reader: Reader,
    wire: number,
    key: string,
    field: Field,
    into: Plain,
    path: readonly string[],
    depth: number,
  ): void {
    const list = field.repeated ? (into[key] as unknown[]) : undefined;
    const here = [...path, list ? `${key}[${list.length}]` : key];
    if (typeof field.kind === 'function') {
      if (wire !== DELIMITED) throw wrongWireType(here, wire, DELIMITED);
      const body = reading(here, field.kind(), () => reader.bytes());
      // A singular message that comes twice is merged, as protobuf defines it.
      const target = list ? {} : ((into[key] as Plain | undefined) ?? {});
      const value = this.message(field.kind(), body, target, here, depth + 1);
      if (list) list.push(value);
      else into[key] = value;
      return;
    }
    const kind = field.kind;
    const expected = WIRE_TYPES[kind];
    if (list && wire === DELIMITED && expected !== DELIMITED) {
      this.#packed(reader, kind, list, here);
    } else if (wire === expected) {
      this.#account(VALUE_COST[kind], here);
      const value = reading(here, kind, () => readScalar(reader, kind));
      if (typeof value === 'string') this.#account(value.length, here);
      if (list) list.push(value);
      else into[key] = value;
    } else {
      throw wrongWireType(here, wire, expected);
    }
  }

  #packed(reader: Reader, kind: ScalarKind, list: unknown[], path: readonly string[]): void {
    const body = reading(path, kind, () => reader.bytes());
    const width = { [FIXED32]: 4, [FIXED64]: 8 }[WIRE_TYPES[kind]];
    if (width !== undefined) {
      if (body.length % width !== 0) throw new MalformedModelError(`${where(path)}: ${body.length} bytes of ${kind}.`);
      this.#account((body.length / width) * VALUE_COST[kind], path);
    }
    const inner = new Reader(body);
    while (inner.pos < inner.len) {
      if (width === undefined) this.#account(VALUE_COST[kind], path);
      list.push(reading(path, kind, () => readScalar(inner, kind)));
    }
  }

  #account(bytes: number, path: readonly string[]): void {
    this.#decodedBytes += bytes;
    if (this.#decodedBytes > this.#limits.maxDecodedBytes) {
      throw new ModelTooLargeError(
        `${where(path)}: the decoded model would take more than ${this.#limits.maxDecodedBytes} bytes of memory.`,
      );
    }
  }
}

/** Writes fields in the order of the table, then the unknown ones: the same object always gives the same bytes. */
export function encodeMessage(schema: MessageSchema, message: Plain): Uint8Array {
  const writer = new Writer();
  writeMessage(writer, schema, message);
  return Uint8Array.from(writer.finish());
}

function writeMessage(writer: Writer, schema: MessageSchema, message: Plain): void {
  for (const [key, field] of Object.entries(schema.fields)) {
    const value = message[key];
    if (value === undefined) continue;
    const values = field.repeated ? (value as unknown[]) : [value];
    if (values.length > 0) writeField(writer, field, values);
  }
  for (const raw of message.unknownFields ?? []) writer.raw(raw);
}

function writeField(writer: Writer, field: Field, values: readonly unknown[]): void {
  if (typeof field.kind === 'function') {
    for (const value of values) {
      writer.uint32(tagOf(field.id, DELIMITED)).fork();
      writeMessage(writer, field.kind(), value as Plain);
      writer.ldelim();
    }
    return;
  }
  if (field.packed) {
    writer.uint32(tagOf(field.id, DELIMITED)).fork();
    for (const value of values) writeScalar(writer, field.kind, value as Value);
    writer.ldelim();
    return;
  }
  for (const value of values) {
    writer.uint32(tagOf(field.id, WIRE_TYPES[field.kind]));
    writeScalar(writer, field.kind, value as Value);
  }
}

function readScalar(reader: Reader, kind: ScalarKind): Value {
  switch (kind) {
    case 'string':
      return reader.stringVerify();
    case 'bytes':
      return reader.bytes();
    case 'float':
      return reader.float();
    case 'double':
      return reader.double();
    case 'int32':
      return reader.int32();
    case 'uint64':
      return BigInt.asUintN(64, readInt64(reader));
    case 'int64':
      return readInt64(reader);
    case 'count': {
      const value = Number(readInt64(reader));
      if (!Number.isSafeInteger(value)) throw new MalformedModelError(`${value} is out of range`);
      return value;
    }
  }
}

function writeScalar(writer: Writer, kind: ScalarKind, value: Value): void {
  switch (kind) {
    case 'string':
      writer.string(value as string);
      break;
    case 'bytes':
      writer.bytes(value as Uint8Array);
      break;
    case 'float':
      writer.float(value as number);
      break;
    case 'double':
      writer.double(value as number);
      break;
    case 'int32':
      writer.int32(value as number);
      break;
    default:
      writer.uint64(longOf(BigInt(value as number | bigint)));
  }
}

/**
 * Read here and not by protobufjs, whose 64-bit integers are exact only where it can load the package `long`, which
 * depends on how the program is bundled.
 */
function readInt64(reader: Reader): bigint {
  let low = 0;
  let scale = 1;
  // Up to 49 bits fit a number exactly: enough for nearly all values.
  for (let index = 0; index < 7; index += 1, scale *= 128) {
    const byte = nextByte(reader);
    low += (byte & 127) * scale;
    if (byte < 128) return BigInt(low);
  }
  let value = BigInt(low);
  for (let index = 7; index < 10; index += 1) {
    const byte = nextByte(reader);
    value |= BigInt(byte & 127) << BigInt(7 * index);
    if (byte < 128) return BigInt.asIntN(64, value);
  }
  throw new MalformedModelError('a 64-bit integer takes more than ten bytes');
}

function nextByte(reader: Reader): number {
  const byte = reader.buf[reader.pos];
  if (reader.pos >= reader.len || byte === undefined) throw new MalformedModelError('the bytes end inside an integer');
  reader.pos += 1;
  return byte;
}

/** The two halves that protobufjs' writer takes for a 64-bit integer. */
function longOf(value: bigint): Parameters<Writer['uint64']>[0] {
  const bits = BigInt.asUintN(64, value);
  const halves = { low: Number(bits & 0xffffffffn), high: Number(bits >> 32n), unsigned: true };
  return halves as unknown as Parameters<Writer['uint64']>[0];
}

/** protobufjs throws plain errors; they become ours, with the path of what was being read. */
function reading<T>(path: readonly string[], what: MessageSchema | ScalarKind, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const name = typeof what === 'string' ? what : what.name;
    const reason =
      cause instanceof RangeError ? 'the bytes end too early' : `the bytes are not valid (${messageOf(cause)})`;
    throw new MalformedModelError(`${where(path)}: cannot read ${name}: ${reason}.`, { cause });
  }
}

function wrongWireType(path: readonly string[], found: number, expected: number): MalformedModelError {
  return new MalformedModelError(`${where(path)}: wire type ${found} where ${expected} is expected.`);
}

function tagOf(id: number, wire: number): number {
  return ((id << 3) | wire) >>> 0;
}

function where(path: readonly string[]): string {
  return path.length === 0 ? 'model' : path.join('.');
}
