/** 4-bit weights in the layout of `MatMulNBits` (ONNX Runtime, domain com.microsoft). */
export interface Int4Matrix {
  /** `[outputs, blocks, blockSize / 2]`: two elements in a byte, the first in its low half. */
  readonly packed: Uint8Array;
  /** `[outputs, blocks]`: real = scale × (q − zero point). */
  readonly scales: Float32Array;
  /** `[outputs, ⌈blocks / 2⌉]`, packed in the same way. */
  readonly zeroPoints: Uint8Array;
  readonly blocks: number;
}

/** Parts of a block's range that are tried: a narrower one has finer steps and cuts off the largest weights. */
const PARTS = [1, 0.95, 0.9, 0.85, 0.8];

/**
 * Rounds a matrix to 4 bits, with a scale and zero point for each block of inputs of one output. Of some ranges the one
 * with the smallest squared error is taken.
 *
 * @param at weight of an input and output
 * @param blockSize a power of two from 16
 */
export function quantizeBlocks(
  at: (input: number, output: number) => number,
  inputs: number,
  outputs: number,
  blockSize: number,
): Int4Matrix {
  const blocks = Math.ceil(inputs / blockSize);
  const packed = new Uint8Array((outputs * blocks * blockSize) / 2);
  const scales = new Float32Array(outputs * blocks);
  const zeroRow = Math.ceil(blocks / 2);
  const zeroPoints = new Uint8Array(outputs * zeroRow);
  const values = new Float64Array(blockSize);
  for (let output = 0; output < outputs; output += 1) {
    for (let block = 0; block < blocks; block += 1) {
      const count = Math.min(blockSize, inputs - block * blockSize);
      for (let i = 0; i < count; i += 1) values[i] = at(block * blockSize + i, output);
      const { scale, zero } = bestRange(values.subarray(0, count));
      const index = output * blocks + block;
      scales[index] = scale;
      setNibble(zeroPoints, output * zeroRow * 2 + block, zero);
      for (let i = 0; i < blockSize; i += 1) {
        // What fills up the last block is zero.
        setNibble(packed, index * blockSize + i, i < count ? rounded(values[i]!, scale, zero) : zero);
      }
    }
  }
  return { packed, scales, zeroPoints, blocks };
}

function bestRange(values: Float64Array): { scale: number; zero: number } {
  let [low, high] = [0, 0];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (high - low < 1e-30) return { scale: 1, zero: 8 };
  let best = { scale: 1, zero: 8 };
  let least = Infinity;
  for (const part of PARTS) {
    const scale = Math.fround(((high - low) * part) / 15);
    const zero = Math.min(15, Math.max(0, Math.round((-low * part) / scale)));
    let error = 0;
    for (const value of values) error += ((rounded(value, scale, zero) - zero) * scale - value) ** 2;
    if (error < least) [least, best] = [error, { scale, zero }];
  }
  return best;
}

function rounded(value: number, scale: number, zero: number): number {
  return Math.min(15, Math.max(0, Math.round(value / scale) + zero));
}

/** Writes one half of a byte that is still zero. */
function setNibble(bytes: Uint8Array, index: number, value: number): void {
  bytes[index >> 1]! |= index % 2 === 0 ? value : value << 4;
}
