import { setTimeout } from 'node:timers/promises';
import { quantileOf } from '@drover/detection';
import { InferenceHost } from '@drover/inference';
import { BenchFailedError } from '../harness/bench-failed.ts';
import type { TrialModel } from './trial-models.ts';

/** Microseconds. */
export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

/** A block of bare runs and the block of samples right after it. */
export interface Pair {
  readonly bare: Quantiles;
  /** From taking a sample to its decision, inside the worker. */
  readonly path: Quantiles;
  /** From the sample's arrival on the main thread to its decision. */
  readonly sensor: Quantiles;
}

export interface TrialOptions {
  readonly pairs: number;
  /** Runs and samples per block. */
  readonly block: number;
  /** Between two runs and between two samples; 0: back to back. */
  readonly periodMs: number;
}

const PIPELINE = 'trial';
const QUEUE_ROWS = 4_096;
const ANSWER_WITHIN_MS = 10_000;

/**
 * Measures bare runs and the whole path in turns, in short blocks in the same worker, so that what else the machine does
 * falls on both. Two copies of the model take turns too: one serves while the other one is measured bare, and a path that
 * starts to serve starts its figures anew.
 *
 * @returns the pairs of each trial
 */
export async function measurePairs(model: TrialModel, trials: readonly TrialOptions[]): Promise<Pair[][]> {
  const host = new InferenceHost({ listener: { onAnomaly: () => undefined, onFault: fail } });
  await host.start();
  try {
    const { channels } = model;
    await host.addPipeline({ name: PIPELINE, channels, queueRows: QUEUE_ROWS, historyRows: QUEUE_ROWS });
    for (const key of ['a', 'b']) await host.prepare(PIPELINE, { ...model.spec, key });
    const source = new Source(host, model);
    await host.activate(PIPELINE, 'a');
    // Code is compiled and optimised while it runs for the first some thousand times.
    await source.send(QUEUE_ROWS / 2, 0);
    await host.benchmark(PIPELINE, 'b', { runs: QUEUE_ROWS / 2 });
    const measured: Pair[][] = [];
    let turn = 0;
    for (const trial of trials) {
      const pairs: Pair[] = [];
      for (let i = 0; i < trial.pairs; i += 1) pairs.push(await measurePair(host, source, trial, (turn += 1)));
      measured.push(pairs);
    }
    return measured;
  } finally {
    await host.stop();
  }
}

async function measurePair(
  host: InferenceHost,
  source: Source,
  { block, periodMs }: TrialOptions,
  turn: number,
): Promise<Pair> {
  const [serving, idle] = turn % 2 === 1 ? (['b', 'a'] as const) : (['a', 'b'] as const);
  await host.activate(PIPELINE, serving);
  const { p50Us, p99Us } = await host.benchmark(PIPELINE, idle, { runs: block, warmupRuns: 5, pauseMs: periodMs });
  await source.send(block, periodMs);
  const stats = await host.stats(PIPELINE);
  if (stats?.latencyUs?.count !== block || stats.pathUs === null) {
    throw new BenchFailedError(`${block} samples led to ${stats?.latencyUs?.count ?? 0} decisions`);
  }
  return { bare: { p50: p50Us, p99: p99Us }, path: stats.pathUs, sensor: stats.latencyUs };
}

/** The sensor: rows of the model's data over and over, with times that go on. */
class Source {
  readonly #host: InferenceHost;
  readonly #model: TrialModel;
  #sent = 0;

  constructor(host: InferenceHost, model: TrialModel) {
    this.#host = host;
    this.#model = model;
  }

  /** Resolves when all were decided on. */
  async send(count: number, periodMs: number): Promise<void> {
    const { rows, spec } = this.#model;
    const stepMs = 1_000 / spec.signature.rateHz;
    for (let i = 0; i < count; i += 1) {
      if (periodMs > 0) await setTimeout(periodMs);
      this.#host.push(PIPELINE, this.#sent * stepMs, rows[this.#sent % rows.length]!);
      this.#sent += 1;
    }
    const endsAt = performance.now() + ANSWER_WITHIN_MS;
    while (this.#host.queueOf(PIPELINE).pending > 0) {
      if (performance.now() > endsAt) throw new BenchFailedError('The worker does not keep up');
      await setTimeout(1);
    }
    // The last one taken may still be running; a snapshot is made after it.
    await this.#host.snapshot(PIPELINE);
  }
}

function fail({ message }: { message: string }): never {
  throw new BenchFailedError(`Detection failed: ${message}`);
}

/** The middle one: a block that something came in between counts no more than any other. */
export function medianOf(pairs: readonly Pair[], figure: (pair: Pair) => number): number {
  return quantileOf(
    pairs.map(figure).toSorted((a, b) => a - b),
    0.5,
  );
}
