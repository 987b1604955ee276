import { MalformedModelError, ModelTooLargeError } from './errors.ts';
import type { GraphProto, ModelProto } from './messages.ts';
import { model as modelSchema } from './message-schema.ts';
import { validateModel } from './model-validation.ts';
import { decodeMessage, encodeMessage } from './wire-codec.ts';
import type { DecodeLimits } from './wire-codec.ts';

/** A model that was checked: it has a graph. */
export type ValidModel = ModelProto & { graph: GraphProto };

export const DEFAULT_DECODE_LIMITS: DecodeLimits = {
  maxBytes: 256 * 2 ** 20,
  maxDecodedBytes: 512 * 2 ** 20,
  maxDepth: 64,
};

/**
 * Bytes of an `.onnx` file → a checked model. Byte fields (weights) are views on `bytes`: do not change it afterwards.
 * Unknown fields are kept, so decode → encode loses nothing that newer exporters wrote.
 *
 * @throws MalformedModelError the bytes are no protobuf message of this shape (truncated, wrong wire types)
 * @throws ModelTooLargeError over the limits, before the memory is taken
 * @throws InvalidModelError, InvalidTensorError, ExternalDataError what `validateModel` finds
 */
export function decodeModel(bytes: Uint8Array, limits: Partial<DecodeLimits> = {}): ValidModel {
  const all = { ...DEFAULT_DECODE_LIMITS, ...limits };
  if (bytes.length > all.maxBytes) {
    throw new ModelTooLargeError(`The model has ${bytes.length} bytes, ${all.maxBytes} are allowed.`);
  }
  if (bytes.length === 0) throw new MalformedModelError('The model is empty (0 bytes).');
  // A plain view: Buffer would make every byte field a Buffer.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const model = decodeProto(plain, all);
  validateModel(model);
  return model;
}

/** Where a file of another kind was given, a field and a wire type alone would tell nobody. */
function decodeProto(bytes: Uint8Array, limits: DecodeLimits): ModelProto {
  try {
    return decodeMessage(modelSchema, bytes, limits) as unknown as ModelProto;
  } catch (cause) {
    if (!(cause instanceof MalformedModelError)) throw cause;
    throw new MalformedModelError(`This is no ONNX model, or a damaged one: ${cause.message}`, { cause });
  }
}

/** Deterministic: equal models give equal bytes. @throws as `validateModel`: what is written can be read again */
export function encodeModel(model: ModelProto): Uint8Array {
  validateModel(model);
  return encodeMessage(modelSchema, model as unknown as Record<string, unknown>);
}
