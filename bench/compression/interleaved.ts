import { quantileOf } from '@drover/detection';
import ort from 'onnxruntime-node';

/** A model to measure. */
export interface Contestant {
  readonly name: string;
  readonly model: Uint8Array;
}

export interface Speed {
  /** Microseconds per run: the median of its blocks' medians. */
  readonly p50Us: number;
  /** To the first contestant's: the median over rounds, so that what else the machine does falls on both. */
  readonly ratio: number;
}

export interface RaceOptions {
  /** Sizes of the window, batch of one. */
  readonly window: number;
  readonly channels: number;
  readonly rounds?: number;
  /** Runs in a row of each, in each round. */
  readonly block?: number;
}

// As on a device.
const SESSION: ort.InferenceSession.SessionOptions = {
  executionProviders: ['cpu'],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  logSeverityLevel: 3,
};
const WARMUP = 300;

interface Runner {
  readonly name: string;
  readonly session: ort.InferenceSession;
  readonly feeds: ort.InferenceSession.FeedsType;
  readonly medians: number[];
}

/** Runs all models in turns, in short blocks in one process, and compares each with the first. */
export async function race(contestants: readonly Contestant[], options: RaceOptions): Promise<Map<string, Speed>> {
  const { window, channels, rounds = 40, block = 150 } = options;
  const runners: Runner[] = [];
  try {
    for (const { name, model } of contestants) {
      const session = await ort.InferenceSession.create(model, SESSION);
      runners.push({ name, session, feeds: feedsOf(session, window, channels), medians: [] });
    }
    for (const runner of runners) await medianOfBlock(runner, WARMUP);
    for (let round = 0; round < rounds; round += 1) {
      // Each goes first as often as any other.
      const first = round % runners.length;
      for (const runner of [...runners.slice(first), ...runners.slice(0, first)]) {
        runner.medians.push(await medianOfBlock(runner, block));
      }
    }
  } finally {
    for (const { session } of runners) await session.release();
  }
  const [base] = runners;
  return new Map(
    runners.map(({ name, medians }) => [
      name,
      { p50Us: middle(medians), ratio: middle(medians.map((median, round) => median / base!.medians[round]!)) },
    ]),
  );
}

async function medianOfBlock({ session, feeds }: Runner, runs: number): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < runs; i += 1) {
    const start = performance.now();
    await session.run(feeds);
    times.push((performance.now() - start) * 1_000);
  }
  return middle(times);
}

/** A window of noise, and empty state. */
function feedsOf(session: ort.InferenceSession, window: number, channels: number): ort.InferenceSession.FeedsType {
  const data = Float32Array.from({ length: window * channels }, () => 2 * Math.random() - 1);
  const feeds: Record<string, ort.Tensor> = { window: new ort.Tensor('float32', data, [1, window, channels]) };
  for (const input of session.inputMetadata) {
    if (!input.name.startsWith('state.') || !input.isTensor) continue;
    const dims = input.shape.map((size) => (typeof size === 'number' ? size : 1));
    const size = dims.reduce((product, dim) => product * dim, 1);
    feeds[input.name] = new ort.Tensor('float32', new Float32Array(size), dims);
  }
  return feeds;
}

function middle(values: readonly number[]): number {
  return quantileOf(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}
