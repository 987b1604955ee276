/**
 * The few instructions of WebAssembly that the training kernels are made of, as bytes. Source: "WebAssembly Core
 * Specification 2.0", chapter 5 (binary format).
 */

export const ValueType = { i32: 0x7f, f32: 0x7d, v128: 0x7b } as const;
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

const SIMD = 0xfd;
const OPCODES = {
  'i32.lt_s': [0x48],
  'i32.le_s': [0x4c],
  'i32.add': [0x6a],
  'i32.mul': [0x6c],
  'f32.sqrt': [0x91],
  'f32.add': [0x92],
  'f32.sub': [0x93],
  'f32.mul': [0x94],
  'f32.div': [0x95],
  'f32x4.splat': [SIMD, 0x13],
  'f32x4.sqrt': [SIMD, 0xe3, 0x01],
  'f32x4.add': [SIMD, 0xe4, 0x01],
  'f32x4.sub': [SIMD, 0xe5, 0x01],
  'f32x4.mul': [SIMD, 0xe6, 0x01],
  'f32x4.div': [SIMD, 0xe7, 0x01],
} as const;
export type Operation = keyof typeof OPCODES;

/** Opcode and alignment (a power of two) of each access to memory. */
const ACCESSES = {
  'f32.load': [[0x2a], 2],
  'f32.store': [[0x38], 2],
  'v128.load': [[SIMD, 0x00], 2],
  'v128.load32_splat': [[SIMD, 0x09], 2],
  'v128.store': [[SIMD, 0x0b], 2],
} as const;
export type Access = keyof typeof ACCESSES;

const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const NO_RESULT = 0x40;
const END = 0x0b;

/** Index of a parameter or local variable. */
export type Local = number;

/** One function without results: parameters first, then variables, then instructions in the order of calls. */
export class WasmFunction {
  readonly name: string;
  readonly #parameters: ValueType[] = [];
  readonly #locals: ValueType[] = [];
  readonly #code: number[] = [];

  constructor(name: string) {
    this.name = name;
  }

  parameter(type: ValueType): Local {
    this.#parameters.push(type);
    return this.#parameters.length - 1;
  }

  /** Zero at first. Only after all parameters. */
  local(type: ValueType): Local {
    this.#locals.push(type);
    return this.#parameters.length + this.#locals.length - 1;
  }

  get(local: Local): this {
    return this.#emit(0x20, ...unsigned(local));
  }

  set(local: Local): this {
    return this.#emit(0x21, ...unsigned(local));
  }

  integer(value: number): this {
    return this.#emit(0x41, ...signed(value));
  }

  /** The constant in all lanes, or alone. */
  zero(type: ValueType): this {
    if (type === ValueType.i32) return this.integer(0);
    if (type === ValueType.f32) return this.#emit(0x43, 0, 0, 0, 0);
    return this.#emit(SIMD, 0x0c, ...Array.from({ length: 16 }, () => 0));
  }

  op(operation: Operation): this {
    return this.#emit(...OPCODES[operation]);
  }

  /** Address from the stack (a store takes the value above it), and a constant offset in bytes. */
  access(access: Access, offset = 0): this {
    const [opcode, alignment] = ACCESSES[access];
    return this.#emit(...opcode, alignment, ...unsigned(offset));
  }

  /** local += step */
  advance(local: Local, step: Local): this {
    return this.get(local).get(step).op('i32.add').set(local);
  }

  /** Repeats while `condition` leaves something but 0; tested before the first time. */
  while(condition: () => void, body: () => void): this {
    this.#emit(0x03, NO_RESULT);
    condition();
    this.#emit(0x04, NO_RESULT);
    body();
    // One level out is the loop: its label is its start.
    return this.#emit(0x0c, 1, END, END);
  }

  type(): number[] {
    return [0x60, ...vector(this.#parameters.map((type) => [type])), 0];
  }

  body(): number[] {
    const locals = vector(this.#locals.map((type) => [1, type]));
    const code = [...locals, ...this.#code, END];
    return [...unsigned(code.length), ...code];
  }

  #emit(...bytes: readonly number[]): this {
    this.#code.push(...bytes);
    return this;
  }
}

/** A module that imports a memory as `env.memory` and exports its functions. */
export function assembleModule(functions: readonly WasmFunction[]): Uint8Array<ArrayBuffer> {
  const memory = [...text('env'), ...text('memory'), 0x02, 0x00, 0x01];
  return Uint8Array.from([
    ...MAGIC,
    ...section(1, vector(functions.map((f) => f.type()))),
    ...section(2, vector([memory])),
    ...section(3, vector(functions.map((_, index) => unsigned(index)))),
    ...section(7, vector(functions.map(({ name }, index) => [...text(name), 0x00, ...unsigned(index)]))),
    ...section(10, vector(functions.map((f) => f.body()))),
  ]);
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function text(value: string): number[] {
  const bytes = [...new TextEncoder().encode(value)];
  return [...unsigned(bytes.length), ...bytes];
}

/** LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return [...bytes, rest];
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x3f || rest < -0x40) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>= 7;
  }
  return [...bytes, rest & 0x7f];
}
