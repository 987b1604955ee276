import { assembleModule, ValueType, WasmFunction } from './wasm-assembler.ts';
import type { Access, Local, Operation } from './wasm-assembler.ts';
import { webAssembly } from './web-assembly.ts';
import type { WasmMemory, WasmModule } from './web-assembly.ts';

/**
 * The two loops that training spends its time in, in WebAssembly: JavaScript has no float32 vectors, and the same matrix
 * product is several times slower there. Rounding is that of IEEE 754, without fused operations, so that results are
 * equal on every processor.
 */
export interface KernelExports {
  /**
   * C[m, n] += A[m, k] · B[k, n]. Addresses and strides are in bytes. A's strides are free (so it may be transposed, or its
   * rows may overlap, which makes a convolution a product); rows of B and C are contiguous. Rows of C are added to one
   * after another, so they may overlap too.
   */
  gemm(
    m: number,
    n: number,
    k: number,
    a: number,
    aRowStride: number,
    aColumnStride: number,
    b: number,
    bRowStride: number,
    c: number,
    cRowStride: number,
  ): void;
  /**
   * One step of Adam over `count` (a multiple of 4) parameters.
   *
   * @param rate learning rate with the bias corrections in it
   * @param epsilon as well
   */
  adam(
    count: number,
    weights: number,
    gradients: number,
    first: number,
    second: number,
    rate: number,
    epsilon: number,
    beta1: number,
    beta2: number,
  ): void;
}

const { i32, f32, v128 } = ValueType;

/** How one column block of a product is computed: two vectors, one vector, or single numbers. */
interface Lanes {
  readonly vectors: number;
  /** Columns. */
  readonly columns: number;
  readonly type: ValueType;
  readonly load: Access;
  readonly spread: Access;
  readonly store: Access;
  readonly add: Operation;
  readonly mul: Operation;
}

const VECTOR = {
  type: v128,
  load: 'v128.load',
  spread: 'v128.load32_splat',
  store: 'v128.store',
  add: 'f32x4.add',
  mul: 'f32x4.mul',
} as const;
const BLOCKS: readonly Lanes[] = [
  { ...VECTOR, vectors: 2, columns: 8 },
  { ...VECTOR, vectors: 1, columns: 4 },
  {
    vectors: 1,
    columns: 1,
    type: f32,
    load: 'f32.load',
    spread: 'f32.load',
    store: 'f32.store',
    add: 'f32.add',
    mul: 'f32.mul',
  },
];
/** Rows at a time: 4 × 2 vectors of sums, 2 of B and one of A fit into 16 registers. */
const ROWS = 4;

function gemmFunction(): WasmFunction {
  const f = new WasmFunction('gemm');
  const parameter = (): Local => f.parameter(i32);
  const [m, n, k] = [parameter(), parameter(), parameter()];
  const [a, aRow, aColumn] = [parameter(), parameter(), parameter()];
  const [b, bRow, c, cRow] = [parameter(), parameter(), parameter(), parameter()];
  const local = (): Local => f.local(i32);
  const [i, j, step, pb, pc] = [local(), local(), local(), local(), local()];
  const [rowStart, rowC, columnB, columnC] = [local(), local(), local(), local()];
  const pa = Array.from({ length: ROWS }, () => f.local(i32));
  const registers = new Map<ValueType, { sums: Local[]; b: Local[]; a: Local }>(
    [v128, f32].map((type) => [
      type,
      {
        sums: Array.from({ length: ROWS * 2 }, () => f.local(type)),
        b: Array.from({ length: 2 }, () => f.local(type)),
        a: f.local(type),
      },
    ]),
  );

  /** `rows` × `lanes` of C, over all of k. */
  const block = (rows: number, lanes: Lanes): void => {
    const { sums, b: bValues, a: aValue } = registers.get(lanes.type)!;
    const vectors = [...Array(lanes.vectors).keys()];
    const rowIndices = [...Array(rows).keys()];
    for (const r of rowIndices) {
      for (const v of vectors) f.zero(lanes.type).set(sums[r * 2 + v]!);
      f.get(r === 0 ? rowStart : pa[r - 1]!);
      if (r > 0) f.get(aRow).op('i32.add');
      f.set(pa[r]!);
    }
    f.get(columnB).set(pb);
    f.zero(i32).set(step);
    f.while(
      () => f.get(step).get(k).op('i32.lt_s'),
      () => {
        for (const v of vectors)
          f.get(pb)
            .access(lanes.load, v * 16)
            .set(bValues[v]!);
        for (const r of rowIndices) {
          f.get(pa[r]!).access(lanes.spread).set(aValue);
          for (const v of vectors) {
            const sum = sums[r * 2 + v]!;
            f.get(sum).get(aValue).get(bValues[v]!).op(lanes.mul).op(lanes.add).set(sum);
          }
          f.advance(pa[r]!, aColumn);
        }
        f.advance(pb, bRow);
        f.get(step).integer(1).op('i32.add').set(step);
      },
    );
    f.get(rowC).get(columnC).op('i32.add').set(pc);
    for (const r of rowIndices) {
      for (const v of vectors) {
        f.get(pc);
        f.get(pc).access(lanes.load, v * 16);
        f.get(sums[r * 2 + v]!)
          .op(lanes.add)
          .access(lanes.store, v * 16);
      }
      f.advance(pc, cRow);
    }
  };

  const rowsOf = (rows: number, lanes: Lanes): void => {
    f.while(
      () => f.get(i).integer(rows).op('i32.add').get(m).op('i32.le_s'),
      () => {
        block(rows, lanes);
        f.get(rowStart).get(aRow).integer(rows).op('i32.mul').op('i32.add').set(rowStart);
        f.get(rowC).get(cRow).integer(rows).op('i32.mul').op('i32.add').set(rowC);
        f.get(i).integer(rows).op('i32.add').set(i);
      },
    );
  };

  f.get(b).set(columnB);
  f.zero(i32).set(columnC);
  for (const lanes of BLOCKS) {
    f.while(
      () => f.get(j).integer(lanes.columns).op('i32.add').get(n).op('i32.le_s'),
      () => {
        f.zero(i32).set(i);
        f.get(a).set(rowStart);
        f.get(c).set(rowC);
        rowsOf(ROWS, lanes);
        rowsOf(1, lanes);
        for (const column of [columnB, columnC])
          f.get(column)
            .integer(lanes.columns * 4)
            .op('i32.add')
            .set(column);
        f.get(j).integer(lanes.columns).op('i32.add').set(j);
      },
    );
  }
  return f;
}

/** Source: D. Kingma & J. Ba, "Adam: a method for stochastic optimization", 2015, with the corrections of its section 2. */
function adamFunction(): WasmFunction {
  const f = new WasmFunction('adam');
  const address = (): Local => f.parameter(i32);
  const [count, weights, gradients, first, second] = [address(), address(), address(), address(), address()];
  const setting = (): Local => f.parameter(f32);
  const [rate, epsilon, beta1, beta2] = [setting(), setting(), setting(), setting()];
  const g = f.local(v128);
  const m = f.local(v128);
  const v = f.local(v128);
  const i = f.local(i32);
  /** into = into + (1 − beta)(value − into), the same as beta · into + (1 − beta) · value */
  const follow = (moment: Local, beta: Local, value: () => void, into: Local): void => {
    f.get(moment).access('v128.load').get(beta).op('f32x4.splat').op('f32x4.mul');
    f.get(moment).access('v128.load').set(into);
    value();
    value();
    f.get(beta).op('f32x4.splat').op('f32x4.mul').op('f32x4.sub').op('f32x4.add').set(into);
    f.get(moment).get(into).access('v128.store');
  };
  f.while(
    () => f.get(i).get(count).op('i32.lt_s'),
    () => {
      f.get(gradients).access('v128.load').set(g);
      follow(first, beta1, () => f.get(g), m);
      follow(second, beta2, () => f.get(g).get(g).op('f32x4.mul'), v);
      f.get(weights).get(weights).access('v128.load');
      f.get(m).get(rate).op('f32x4.splat').op('f32x4.mul');
      f.get(v).op('f32x4.sqrt').get(epsilon).op('f32x4.splat').op('f32x4.add').op('f32x4.div');
      f.op('f32x4.sub').access('v128.store');
      for (const local of [weights, gradients, first, second]) f.get(local).integer(16).op('i32.add').set(local);
      f.get(i).integer(4).op('i32.add').set(i);
    },
  );
  return f;
}

let compiled: WasmModule | undefined;

/** The kernels on a memory; compiled once per thread. */
export function instantiateKernels(memory: WasmMemory): KernelExports {
  compiled ??= new webAssembly.Module(assembleModule([gemmFunction(), adamFunction()]));
  return new webAssembly.Instance(compiled, { env: { memory } }).exports as KernelExports;
}
