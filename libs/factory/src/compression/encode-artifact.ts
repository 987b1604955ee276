import { constants, zstdCompressSync } from 'node:zlib';

/** An artifact as it is stored and sent. */
export interface EncodedArtifact {
  readonly bytes: Uint8Array;
  readonly encoding: 'identity' | 'zstd';
  /** Of the file, where it is encoded. */
  readonly decodedSizeBytes?: number;
}

/** A smaller gain is not worth unpacking on every device. */
const LEAST_SAVING = 0.05;
/** Slow to write, done once; reading is as fast as with any other. */
const LEVEL = 19;

/**
 * Packs a file by Zstandard where that saves at least 5 %: zeros of a sparse model do. Weights of a dense one hardly get
 * smaller and stay as they are.
 */
export function encodeArtifact(bytes: Uint8Array): EncodedArtifact {
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_contentSizeFlag]: 1 };
  const packed = zstdCompressSync(bytes, { params, pledgedSrcSize: bytes.length });
  if (packed.length > bytes.length * (1 - LEAST_SAVING)) return { bytes, encoding: 'identity' };
  return { bytes: Uint8Array.from(packed), encoding: 'zstd', decodedSizeBytes: bytes.length };
}
