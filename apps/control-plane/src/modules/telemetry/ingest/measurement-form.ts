import type { SampleMessage } from '@drover/contracts';
import type { SampleKeys } from './sample-batch.ts';

/** What changes from one sample of a stream to the next. */
export type Reading = Pick<SampleMessage, 't' | 'seq' | 'values'>;

/**
 * The form of a stream's messages in JSON: the text around its numbers. One message of a boot's stream differs from the next only
 * in them, so a message of a known form need not be parsed, checked and looked up again: comparing its text and
 * reading its numbers costs a fifth.
 *
 * INVARIANT: what `read` returns is what `JSON.parse` and the checks behind it would have found. It knows less, never other:
 * whatever is not of the form, or a number that is not plain, is null, and goes the long way.
 */
export class MeasurementForm {
  readonly keys: SampleKeys;
  readonly #literals: readonly Uint8Array[];
  readonly #roles: Int32Array;
  #hits = 0;
  readonly #reading: { t: number; seq: number; values: number[] };
  #number = 0;

  private constructor(keys: SampleKeys, literals: readonly Uint8Array[], roles: Int32Array, values: number) {
    this.keys = keys;
    this.#literals = literals;
    this.#roles = roles;
    this.#reading = { t: 0, seq: 0, values: Array.from<number>({ length: values }).fill(0) };
  }

  /**
   * Learns the form of a message that was parsed and checked.
   *
   * @param keys under which all messages of this form are stored: their boot, stream and channels are in its text
   * @returns null where it has none: CBOR, or values that are missing
   */
  static of(payload: Uint8Array, message: SampleMessage, keys: SampleKeys): MeasurementForm | null {
    if (payload[0] !== OPEN_BRACE || message.values.includes(null)) return null;
    const literals = splitAtNumbers(payload);
    // The same text with its numbers numbered: the parser itself says what each of them stands for.
    const numbered = JSON.parse(
      literals.map((literal) => utf8.decode(literal)).reduce((a, b, i) => `${a}${i - 1}${b}`),
    );
    const { seq, t, values } = numbered as SampleMessage;
    const roles = new Int32Array(literals.length - 1).fill(IGNORED);
    roles[seq] = SEQ;
    roles[t] = TIME;
    for (const [index, number] of values.entries()) roles[number!] = index;
    return new MeasurementForm(keys, literals, roles, values.length);
  }

  /** Messages that it has read. */
  get hits(): number {
    return this.#hits;
  }

  /** @returns null where the message is not of this form; valid until the next call */
  read(payload: Uint8Array): Reading | null {
    const literals = this.#literals;
    const roles = this.#roles;
    const reading = this.#reading;
    let at = skip(payload, 0, literals[0]!);
    for (let i = 0; i < roles.length; i++) {
      if (at < 0) return null;
      at = this.#readNumber(payload, at);
      if (at < 0) return null;
      const role = roles[i]!;
      if (role >= 0) reading.values[role] = this.#number;
      else if (role === SEQ) reading.seq = this.#number;
      else if (role === TIME) reading.t = this.#number;
      at = skip(payload, at, literals[i + 1]!);
    }
    if (at !== payload.length || !Number.isSafeInteger(reading.seq) || reading.seq < 1 || !(reading.t >= 0))
      return null;
    this.#hits += 1;
    return reading;
  }

  /**
   * Reads a number of JSON without an exponent and of at most 15 digits: then mantissa and power of ten are both exact
   * doubles, and their quotient is the correctly rounded value (W. D. Clinger, "How to Read Floating Point Numbers
   * Accurately", 1990).
   *
   * @returns where it ends, or -1; so far such numbers always lie in the range of float4 and of times
   */
  #readNumber(payload: Uint8Array, from: number): number {
    let at = from;
    const negative = payload[at] === MINUS;
    if (negative) at += 1;
    const first = at;
    let mantissa = 0;
    let digit = payload[at]! - ZERO;
    while (digit >= 0 && digit <= 9) {
      mantissa = mantissa * 10 + digit;
      digit = payload[++at]! - ZERO;
    }
    let digits = at - first;
    if (digits === 0 || (digits > 1 && payload[first] === ZERO)) return -1;
    let fraction = 0;
    if (payload[at] === POINT) {
      const start = ++at;
      digit = payload[at]! - ZERO;
      while (digit >= 0 && digit <= 9) {
        mantissa = mantissa * 10 + digit;
        digit = payload[++at]! - ZERO;
      }
      fraction = at - start;
      digits += fraction;
      if (fraction === 0) return -1;
    }
    if (digits > MAX_DIGITS) return -1;
    const value = mantissa / POWERS_OF_TEN[fraction]!;
    this.#number = negative ? -value : value;
    return at;
  }
}

const OPEN_BRACE = 0x7b;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const MAX_DIGITS = 15;
const POWERS_OF_TEN = Array.from({ length: MAX_DIGITS + 1 }, (_, i) => 10 ** i);

const IGNORED = -1;
const SEQ = -2;
const TIME = -3;

const utf8 = new TextDecoder();

/** @returns where the literal ends in the payload, or -1 where it isn't there */
function skip(payload: Uint8Array, at: number, literal: Uint8Array): number {
  const { length } = literal;
  for (let i = 0; i < length; i++) if (payload[at + i] !== literal[i]) return -1;
  return at + length;
}

/** The text before, between and behind the numbers of a JSON document that is known to be valid. */
function splitAtNumbers(payload: Uint8Array): Uint8Array[] {
  const literals: Uint8Array[] = [];
  let start = 0;
  let inText = false;
  for (let at = 0; at < payload.length; at++) {
    const byte = payload[at]!;
    if (inText) {
      if (byte === BACKSLASH) at += 1;
      else inText = byte !== QUOTE;
    } else if (byte === QUOTE) inText = true;
    else if (isNumberStart(byte)) {
      literals.push(payload.slice(start, at));
      while (isNumberPart(payload[at]!)) at += 1;
      start = at;
      at -= 1;
    }
  }
  literals.push(payload.slice(start));
  return literals;
}

function isNumberStart(byte: number): boolean {
  return byte === MINUS || (byte >= ZERO && byte <= ZERO + 9);
}

/** Digits, sign, point and exponent. */
function isNumberPart(byte: number): boolean {
  return isNumberStart(byte) || byte === POINT || byte === 0x2b || byte === 0x45 || byte === 0x65;
}
