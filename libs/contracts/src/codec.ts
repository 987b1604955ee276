import { Decoder, Encoder } from 'cbor-x';

/** A payload whose first byte is `{` is JSON; otherwise the first byte names a codec. */
export const CODEC_CBOR = 0x01;

const OPEN_BRACE = 0x7b;
const textDecoder = new TextDecoder('utf-8', { fatal: true });
const cborOptions = { useRecords: false, mapsAsObjects: true, tagUint8Array: false } as const;
const encoder = new Encoder(cborOptions);
const decoder = new Decoder(cborOptions);

/**
 * Decodes a device's payload to a plain value, not yet validated.
 *
 * @throws SyntaxError or RangeError where the bytes are no JSON object, no CBOR, or name an unknown codec
 */
export function decodePayload(bytes: Uint8Array): unknown {
  if (bytes.length === 0) throw new SyntaxError('the payload is empty');
  if (bytes[0] === OPEN_BRACE) return JSON.parse(textDecoder.decode(bytes));
  if (bytes[0] === CODEC_CBOR) return decoder.decode(bytes.subarray(1));
  throw new SyntaxError(
    `unknown codec 0x${bytes[0]!.toString(16).padStart(2, '0')}: JSON starts with "{", CBOR with 0x01`,
  );
}

export function encodeJson(value: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

export function encodeCbor(value: object): Uint8Array {
  const body = encoder.encode(value);
  const bytes = new Uint8Array(body.length + 1);
  bytes[0] = CODEC_CBOR;
  bytes.set(body, 1);
  return bytes;
}
