import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { constants, zstdDecompress } from 'node:zlib';
import { messageOf } from '@drover/runtime';
import { ModelDamagedError, ModelSizeError } from './errors.ts';

/** How a model's bytes become an ONNX file; structurally a part of the manifest's artifact. */
export interface ModelEncoding {
  readonly encoding: 'identity' | 'zstd';
  /** Bytes of the file. To be known where it is encoded: no more is ever unpacked. */
  readonly decodedSizeBytes?: number | undefined;
}

const decompress = promisify(zstdDecompress);

/**
 * The decoder keeps a window of what it has written, of a size that the file names: it is bounded like the file itself, and by
 * what encoders use for files of any size (8 MiB).
 */
const SMALLEST_WINDOW_LOG_LIMIT = 23;
const LARGEST_WINDOW_LOG = 27;

/**
 * What ONNX Runtime shall load. Files that are not encoded stay where they are.
 *
 * @param model a file's path or its bytes, as they were transferred
 * @throws ModelSizeError where it unpacks to more or less than `decodedSizeBytes`, or nothing says to how much;
 *   ModelDamagedError where it cannot be read or unpacked
 */
export async function unpackModel(
  model: string | Uint8Array,
  { encoding, decodedSizeBytes }: ModelEncoding = { encoding: 'identity' },
): Promise<string | Uint8Array> {
  if (encoding === 'identity') return model;
  if (decodedSizeBytes === undefined) throw new ModelSizeError('The model is packed, and nothing says how large it is');
  const packed = typeof model === 'string' ? await read(model) : model;
  const unpacked = await unpack(packed, decodedSizeBytes);
  if (unpacked.length === decodedSizeBytes) return unpacked;
  throw new ModelSizeError(`The model unpacks to ${unpacked.length} bytes, not to the ${decodedSizeBytes} announced`);
}

async function read(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new ModelDamagedError(`The model cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** In a thread of the pool: what serves goes on meanwhile. */
async function unpack(packed: Uint8Array, limitBytes: number): Promise<Uint8Array> {
  const windowLog = Math.ceil(Math.log2(limitBytes));
  try {
    return await decompress(packed, {
      maxOutputLength: limitBytes,
      params: {
        [constants.ZSTD_d_windowLogMax]: Math.min(LARGEST_WINDOW_LOG, Math.max(SMALLEST_WINDOW_LOG_LIMIT, windowLog)),
      },
    });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new ModelSizeError(`The model unpacks to more than the ${limitBytes} bytes announced`, { cause });
    }
    throw new ModelDamagedError(`The model cannot be unpacked: ${messageOf(cause)}`, { cause });
  }
}
