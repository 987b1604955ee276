import { NetworkEngine, trainFamily } from '@drover/factory';
import type { Recording } from '@drover/factory';
import type { Measure } from '../harness/bench.ts';
import { middleOf } from './middle.ts';

const BATCH = 32;
const INPUTS = 128;
const OUTPUTS = 64;
const MULTIPLIES = BATCH * INPUTS * OUTPUTS;
const REPEATS = 400;
const ROUNDS = 9;
/** Forward, the gradient by the weights, the gradient by what came in. */
const PRODUCTS_PER_STEP = 3;

/** Multiply-accumulates per second of the trainer's matrix product, one layer forward, against the loop one would write. */
export function kernelMeasure(): Measure {
  const weights = new Float32Array(INPUTS * OUTPUTS).map((_, i) => Math.sin(i));
  const bias = new Float32Array(OUTPUTS);
  const layer = { kind: 'dense', inputs: INPUTS, outputs: OUTPUTS, activation: 'linear', weights, bias } as const;
  const engine = new NetworkEngine([layer], INPUTS, BATCH);
  for (let i = 0; i < engine.input.length; i += 1) engine.input[i] = Math.cos(i);
  const output = new Float32Array(BATCH * OUTPUTS);
  const [kernel, plain] = inTurns(
    () => engine.forward(BATCH),
    () => plainProduct(engine.input, weights, output),
  );
  const value = perSecond(kernel);
  const peer = perSecond(plain);
  return {
    metric: `matrix product ${BATCH} x ${INPUTS} x ${OUTPUTS}`,
    value,
    unit: 'GMAC/s',
    peer: { name: 'plain', value: peer },
    ratio: value / peer,
  };
}

/** A whole training against as many multiply-accumulates in the plain loop. */
export async function epochsMeasure(recording: Recording, seed: number): Promise<Measure> {
  let passes = 0;
  const start = performance.now();
  const { trainedOn, summary } = await trainFamily(
    { name: 'dense-ae' },
    { recordings: [recording], stride: 1, rateHz: 1, maxGapMs: 60_000 },
    { seed, onProgress: () => (passes += 1) },
  );
  const value = performance.now() - start;
  // A little too many: a fold leaves some windows out, and the first layer has no gradient by the window.
  const multiplies = passes * trainedOn.count * Number(summary.multiplyAccumulates) * PRODUCTS_PER_STEP;
  const [plain] = inTurns(
    () => plainProduct(INPUT, WEIGHTS, OUTPUT),
    () => {},
  );
  const peer = (multiplies / MULTIPLIES) * (plain / REPEATS);
  return {
    metric: `dense-ae: the first training, ${passes} passes`,
    value,
    unit: 'ms',
    peer: { name: 'ms plain', value: peer },
    ratio: value / peer,
  };
}

const INPUT = new Float32Array(BATCH * INPUTS).fill(0.5);
const WEIGHTS = new Float32Array(INPUTS * OUTPUTS).fill(0.5);
const OUTPUT = new Float32Array(BATCH * OUTPUTS);

function plainProduct(x: Float32Array, weights: Float32Array, y: Float32Array): void {
  for (let n = 0; n < BATCH; n += 1) {
    for (let o = 0; o < OUTPUTS; o += 1) {
      let sum = 0;
      for (let i = 0; i < INPUTS; i += 1) sum += x[n * INPUTS + i]! * weights[i * OUTPUTS + o]!;
      y[n * OUTPUTS + o] = sum;
    }
  }
}

/** Milliseconds of a block of each, medians over rounds. */
function inTurns(first: () => void, second: () => void): [number, number] {
  const times: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [side, work] of [first, second].entries()) {
      const start = performance.now();
      for (let i = 0; i < REPEATS; i += 1) work();
      times[side]!.push(performance.now() - start);
    }
  }
  return [middleOf(times[0]), middleOf(times[1])];
}

/** Of a block of products, in thousands of millions. */
function perSecond(blockMs: number): number {
  return (REPEATS * MULTIPLIES) / (blockMs * 1e6);
}
