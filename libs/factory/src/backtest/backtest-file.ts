import type { PathCounters } from '@drover/inference';
import { readRecording } from '@drover/recordings';
import type { RecordingOptions, RecordingRow } from '@drover/recordings';
import type { Recording } from '../window-set.ts';
import { trainOnFirstRows } from './backtest-detector.ts';
import type { BacktestDetector, BacktestTraining } from './backtest-detector.ts';
import { runBacktest } from './run-backtest.ts';
import type { BacktestRun, BacktestSink } from './run-backtest.ts';

/** Rows to train on: a number, or a share of the file and no more than so many (as benchmarks of series ask for). */
export type TrainRows = number | { readonly fraction: number; readonly most: number };

export interface FileBacktest {
  readonly path: string;
  readonly reading?: RecordingOptions;
  /** A detector that is there, or how to train one on the file's first rows. */
  readonly detector: BacktestDetector | (BacktestTraining & { readonly rows: TrainRows });
  /** Made once it is known what the rows hold. `detector` is null where the file has no more rows than to train on. */
  readonly sink: (file: BacktestFileHeader) => BacktestSink<RecordingRow>;
  readonly drain?: () => Promise<void>;
  readonly sourceRateHz?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BacktestFileHeader {
  /** Names of the values in a row: of the file's channels, or of the release's. */
  readonly channels: readonly string[];
  readonly detector: BacktestDetector | null;
  /** Rows that were trained on: the first. */
  readonly trainedRows: number;
}

export interface FileBacktestResult extends BacktestFileHeader, BacktestRun {
  /** Whether the file has labels. They were not looked at. */
  readonly labelled: boolean;
  readonly trainMs: number;
}

/** Rows that are looked at to tell what the columns are; never more than are trained on, which would be a look ahead. */
const COLUMN_ROWS = 64;
const NO_COUNTERS: PathCounters = {
  samples: 0,
  missingValues: 0,
  restarts: 0,
  windows: 0,
  invalidScores: 0,
  failedRuns: 0,
};

/**
 * Runs a detector over a CSV file, streaming, after training it on the file's first rows where it has to be. No label
 * reaches training or the model. A file with no more rows than are trained on is told row by row without a decision, as the
 * beginning of a longer one would be.
 *
 * @throws as `readRecording`, `trainOnFirstRows` and `runBacktest`
 */
export async function backtestFile(options: FileBacktest): Promise<FileBacktestResult> {
  const { path, reading = {}, detector: given, sink, signal } = options;
  const began = performance.now();
  const prepared = 'rows' in given ? await trained(path, reading, given) : released(reading, given);
  const { header } = prepared;
  const trainMs = performance.now() - began;
  const recording = await readRecording(path, prepared.reading);
  try {
    const telling = sink(header);
    const run =
      header.detector === null
        ? await tellOnly(recording.batches(), telling, options)
        : await runBacktest({
            detector: header.detector,
            sourceChannels: header.channels,
            batches: recording.batches(),
            sink: telling,
            decideFrom: header.trainedRows,
            drain: options.drain,
            sourceRateHz: options.sourceRateHz,
            signal,
          });
    return { ...header, ...run, trainMs, labelled: recording.header.labelledBy !== null };
  } finally {
    await recording.close();
  }
}

interface Prepared {
  readonly header: BacktestFileHeader;
  /** How the file is read: what is left to be found is found once. */
  readonly reading: RecordingOptions;
}

function released(reading: RecordingOptions, detector: BacktestDetector): Prepared {
  const channels = detector.signature.channels.map(({ name }) => name);
  return { header: { channels, detector, trainedRows: 0 }, reading: { ...reading, channels } };
}

async function trained(
  path: string,
  reading: RecordingOptions,
  training: BacktestTraining & { readonly rows: TrainRows },
): Promise<Prepared> {
  const most = await rowsToTrainOn(path, reading, training.rows);
  const options = { ...reading, columnRows: Math.max(1, Math.min(COLUMN_ROWS, most)) };
  const { recording, whole } = await firstRows(path, options, most);
  const detector = whole ? null : await trainOnFirstRows(recording, most, training);
  return {
    header: { channels: recording.channels, detector, trainedRows: recording.rows },
    reading: { ...options, channels: recording.channels },
  };
}

async function rowsToTrainOn(path: string, reading: RecordingOptions, rows: TrainRows): Promise<number> {
  if (typeof rows === 'number') return rows;
  let count = 0;
  await using recording = await readRecording(path, reading);
  for await (const batch of recording.batches()) count += batch.length;
  return Math.max(1, Math.min(rows.most, Math.floor(rows.fraction * count)));
}

/** @returns the first rows without labels, and whether there is none after them */
async function firstRows(
  path: string,
  reading: RecordingOptions,
  most: number,
): Promise<{ recording: Recording; whole: boolean }> {
  await using opened = await readRecording(path, reading);
  const { channels } = opened.header;
  const times: number[] = [];
  const values: number[] = [];
  let whole = true;
  read: for await (const batch of opened.batches()) {
    for (const row of batch) {
      if (times.length === most) {
        whole = false;
        break read;
      }
      times.push(row.timeMs);
      for (const value of row.values) values.push(value);
    }
  }
  const recording = {
    channels,
    rows: times.length,
    values: Float32Array.from(values),
    timesMs: Float64Array.from(times),
  };
  return { recording, whole };
}

async function tellOnly(
  batches: AsyncIterable<readonly RecordingRow[]>,
  sink: BacktestSink<RecordingRow>,
  { drain, signal }: FileBacktest,
): Promise<BacktestRun> {
  const began = performance.now();
  let samples = 0;
  for await (const rows of batches) {
    signal?.throwIfAborted();
    for (const row of rows) sink.row(row);
    samples += rows.length;
    await drain?.();
  }
  return { counters: { ...NO_COUNTERS, samples }, runMs: performance.now() - began };
}
