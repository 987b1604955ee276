import { PAGE_BYTES, webAssembly } from './web-assembly.ts';
import type { WasmMemory } from './web-assembly.ts';

/** Numbers in a memory that the kernels work on. */
export interface Tensor {
  /** Bytes from the start of the memory. */
  readonly at: number;
  readonly data: Float32Array;
}

export const FLOAT_BYTES = 4;
/** The kernels read whole vectors. */
const LANES = 4;

/** A memory that is taken once and handed out in pieces. */
export class TensorMemory {
  readonly memory: WasmMemory;
  #next = 0;

  /** @param lengths of every piece that will be taken */
  constructor(lengths: readonly number[]) {
    const bytes = lengths.reduce((sum, length) => sum + padded(length), 0) * FLOAT_BYTES;
    const pages = Math.max(1, Math.ceil(bytes / PAGE_BYTES));
    this.memory = new webAssembly.Memory({ initial: pages, maximum: pages });
  }

  take(length: number): Tensor {
    const tensor = { at: this.#next, data: new Float32Array(this.memory.buffer, this.#next, length) };
    this.#next += padded(length) * FLOAT_BYTES;
    return tensor;
  }
}

/** A piece of a tensor. */
export function part({ at, data }: Tensor, from: number, length: number): Tensor {
  return { at: at + from * FLOAT_BYTES, data: data.subarray(from, from + length) };
}

export function padded(length: number): number {
  return Math.ceil(length / LANES) * LANES;
}
