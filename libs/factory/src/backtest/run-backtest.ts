import type { Decision } from '@drover/detection';
import { Replay, loadOnnxRuntime, openReplaySession } from '@drover/inference';
import type { PathCounters } from '@drover/inference';
import type { BacktestDetector } from './backtest-detector.ts';

/** A row of a recording. */
export interface BacktestRow {
  readonly timeMs: number;
  /** One per source channel; NaN is missing. */
  readonly values: ArrayLike<number>;
}

/**
 * Is told what a recording leads to, in the order of its rows: `row` for each, under what the last `decide` said, or
 * nothing where a `gap` came after it.
 */
export interface BacktestSink<Row> {
  /** The arguments are reused: copy what you keep. `contributions`: one per channel of the signature. */
  decide(decision: Readonly<Decision>, contributions: Float32Array): void;
  /** What was decided before does not hold for what comes now. */
  gap(): void;
  row(row: Row): void;
}

export interface BacktestOptions<Row extends BacktestRow> {
  readonly detector: BacktestDetector;
  /** Names of the values in a row, in their order. */
  readonly sourceChannels: readonly string[];
  readonly batches: AsyncIterable<readonly Row[]>;
  readonly sink: BacktestSink<Row>;
  /** Awaited between batches, so that a sink that writes can keep up. */
  readonly drain?: (() => Promise<void>) | undefined;
  /** Rows before this one were trained on: they fill the window and move the state, and are not decided on. */
  readonly decideFrom?: number | undefined;
  /** Where known and clearly above the model's rate, rows are thinned out as on a device. */
  readonly sourceRateHz?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BacktestRun {
  readonly counters: PathCounters;
  /** From the first row to the last one told, without loading the model. */
  readonly runMs: number;
}

/** Rows that wait for a decision at most, where hardly any of them completes a window. */
const MOST_WAITING = 8_192;

/**
 * Runs a detector over a recording as the agent would, streaming. Causal: what is said of a row depends on rows up to it
 * alone, to the bit, because runs are gathered by the number of rows before and nothing else.
 *
 * @throws SignatureMismatchError when the rows lack a channel of the model; InvalidGraphError, DetectorContractError for a
 *   model that is no detector; what `batches` throws; the signal's reason when aborted
 */
export async function runBacktest<Row extends BacktestRow>(options: BacktestOptions<Row>): Promise<BacktestRun> {
  const { detector, sink, signal, sourceChannels } = options;
  const session = await openReplaySession(loadOnnxRuntime(), detector.model, detector.signature, {
    providers: ['cpu'],
  });
  try {
    const waiting: Row[] = [];
    /** Index in the recording of the first that waits, and how many of those waiting have been told. */
    let first = 0;
    let told = 0;
    /** Tells the sink of the rows before this one, whose decisions stand. */
    const tellBefore = (row: number): void => {
      for (; first + told < row; told += 1) sink.row(waiting[told]!);
    };
    const flush = async (): Promise<void> => {
      await replay.flush();
      tellBefore(first + waiting.length);
      first += waiting.length;
      waiting.length = 0;
      told = 0;
    };
    const replay = new Replay({
      session,
      signature: detector.signature,
      policy: detector.policy,
      sourceChannels,
      sourceRateHz: options.sourceRateHz,
      decideFrom: options.decideFrom,
      visit: (_timeMs, decision, contributions, row) => {
        tellBefore(row);
        sink.decide(decision, contributions);
      },
      onGap: (row) => {
        tellBefore(row);
        sink.gap();
      },
    });
    const began = performance.now();
    for await (const rows of options.batches) {
      signal?.throwIfAborted();
      for (const row of rows) {
        waiting.push(row);
        const due = replay.push(row.timeMs, row.values);
        if (due || waiting.length >= MOST_WAITING) await flush();
      }
      await options.drain?.();
    }
    await flush();
    await options.drain?.();
    return { counters: await replay.finish(), runMs: performance.now() - began };
  } finally {
    await session.release();
  }
}
