import { mkdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { ScoreLines, backtestFile } from '@drover/factory';
import type { BacktestDetector, FileBacktest, TrainRows } from '@drover/factory';
import { CallerError, InvalidInputError, messageOf } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import { Command } from 'commander';
import { addConnectionOptions } from '../connection.ts';
import type { ConnectionOptions } from '../connection.ts';
import { formatTable } from '../table.ts';
import { interruptible } from './interruption.ts';
import { csvFiles } from './csv-files.ts';
import { addReadingOptions, positive, readingOf, wholeNumber } from './reading-flags.ts';
import type { ReadingFlags } from './reading-flags.ts';
import { releaseDetector } from './release-detector.ts';
import { ScoresFile, partialPath } from './scores-file.ts';
import { addTrainingOptions, familyOf } from './training-flags.ts';
import type { TrainingFlags } from './training-flags.ts';

interface Flags extends ConnectionOptions, ReadingFlags, TrainingFlags {
  readonly input: string[];
  readonly output?: string;
  readonly outputDir?: string;
  readonly release?: string;
  readonly variant?: string;
  readonly trainRows?: number;
  readonly trainFraction?: number;
  readonly trainMax?: number;
  readonly sourceRate?: number;
}

interface FileSummary {
  readonly input: string;
  readonly output: string | null;
  readonly family: string | null;
  readonly rows: number;
  readonly trainedRows: number;
  readonly scoredRows: number;
  readonly windows: number;
  readonly anomalies: number;
  readonly anomalousRows: number;
  /** Of the rows after those trained on. */
  readonly flaggedShare: number;
  readonly missingValues: number;
  readonly restarts: number;
  readonly invalidScores: number;
  readonly trainSeconds: number;
  readonly seconds: number;
  readonly windowsPerSecond: number;
}

/** Recordings that no model can be trained on or run over. */
export class UnusableInputError extends CallerError {}

const HELP = `
Writes one line per row of the input: timestamp,score,threshold,anomaly,contribution_<channel>…
  timestamp  as it is in the input (without a time column: seconds since the first row)
  score      what the decision policy compares with threshold
  anomaly    1 while an alarm is on
Rows that were trained on, rows before the first whole window, in the warm-up and from a gap to the next window have
no score and anomaly 0. Between windows the last decision stands. What is written of rows 1 to k depends on nothing
after them (--train-fraction depends on the length of the file, and only on that).

  drover backtest --release rel_… --input pump.csv --output scores.csv
  drover backtest --train-rows 400 --input valve1/*.csv --output-dir out/
  drover backtest --train-fraction 0.15 --train-max 750 --family value --input series.csv --output scores.csv`;

export function backtestCommand(): Command {
  const command = new Command('backtest')
    .description(
      'Run the detection path of the agent over recordings (CSV), with a release or one trained on their first rows',
    )
    .requiredOption('--input <files...>', 'CSV files, or folders with some')
    .option('--output <file>', 'where the scores of a single input go; - is standard output')
    .option('--output-dir <folder>', 'where the scores of several inputs go, by their names')
    .option('--release <id|folder>', 'a release of the control plane, or a folder that drover factory wrote')
    .option('--variant <name>', 'of the release (default: fp32)')
    .option('--train-rows <rows>', 'train on so many first rows of each input, and on nothing else', wholeNumber)
    .option('--train-fraction <share>', 'train on this share of the rows of each input', positive)
    .option('--train-max <rows>', 'with --train-fraction: at most so many rows', wholeNumber)
    .option('--source-rate <hz>', 'rate of the input, where a release wants fewer samples per second', positive);
  addTrainingOptions(command);
  addReadingOptions(command);
  addConnectionOptions(command);
  return command.addHelpText('after', HELP).action(async (flags: Flags) => {
    await interruptible((signal) => runBacktests(flags, signal));
  });
}

async function runBacktests(flags: Flags, signal: AbortSignal): Promise<void> {
  checkFlags(flags);
  const inputs = await csvFiles(flags.input);
  const outputs = outputsFor(inputs, flags);
  await refuseInputs(inputs, outputs);
  const detector = flags.release === undefined ? undefined : await releaseDetector(flags.release, flags.variant, flags);
  const files: FileSummary[] = [];
  const failures: FieldProblem[] = [];
  for (const [i, input] of inputs.entries()) {
    if (flags.outputDir !== undefined) await makeFolder(dirname(outputs[i]!));
    try {
      files.push(await backtest(input, outputs[i], detector ?? trainingOf(flags, signal), flags, signal));
    } catch (error) {
      // One file that cannot be used does not keep the others from being.
      if (!(error instanceof CallerError)) throw error;
      failures.push({ path: input, message: error.message });
    }
  }
  tell(files, flags);
  if (failures.length > 0) {
    const count = `${failures.length} of ${inputs.length} inputs`;
    throw new UnusableInputError(inputs.length === 1 ? 'The input cannot be used.' : `${count} cannot be used.`, {
      problems: failures,
    });
  }
}

/** @throws InvalidInputError */
function checkFlags(flags: Flags): void {
  const sources = [flags.release, flags.trainRows, flags.trainFraction].filter((value) => value !== undefined);
  const problems: [boolean, string][] = [
    [sources.length !== 1, 'Give exactly one of --release, --train-rows and --train-fraction.'],
    [flags.trainFraction !== undefined && flags.trainFraction >= 1, '--train-fraction must be below 1.'],
    [flags.trainMax !== undefined && flags.trainFraction === undefined, '--train-max belongs to --train-fraction.'],
    [flags.trainRows === 0 || flags.trainMax === 0, 'There must be rows to train on.'],
    [flags.output !== undefined && flags.outputDir !== undefined, 'Give --output or --output-dir, not both.'],
    [flags.output === '-' && flags.json === true, 'With --json standard output holds the summary: name a file.'],
    [flags.sourceRate !== undefined && flags.release === undefined, '--source-rate belongs to --release.'],
  ];
  const problem = problems.find(([wrong]) => wrong);
  if (problem !== undefined) throw new InvalidInputError(problem[1]);
}

/** @throws InvalidInputError */
function outputsFor(inputs: readonly string[], { output, outputDir }: Flags): (string | undefined)[] {
  if (outputDir === undefined) {
    if (output !== undefined && inputs.length > 1) {
      throw new InvalidInputError(`--output takes one input, there are ${inputs.length}: give --output-dir.`);
    }
    return inputs.map(() => output);
  }
  const paths = inputs.map((input) => resolve(input));
  const names = new Set(paths.map((path) => basename(path)));
  // Files of one name from different folders keep these folders.
  const root = names.size === paths.length ? undefined : commonFolder(paths);
  const outputs = paths.map((path) => join(outputDir, root === undefined ? basename(path) : relative(root, path)));
  return outputs;
}

/**
 * Neither the output nor what is written on the way to it may be a recording, whatever links lead there: it would be gone.
 *
 * @throws InvalidInputError
 */
async function refuseInputs(inputs: readonly string[], outputs: readonly (string | undefined)[]): Promise<void> {
  const recordings = new Set(await Promise.all(inputs.map((input) => realpath(input))));
  for (const output of outputs) {
    if (output === undefined || output === '-') continue;
    for (const path of [output, partialPath(output)]) {
      const written = await realpath(path).catch(() => undefined);
      if (written === undefined || !recordings.has(written)) continue;
      throw new InvalidInputError(`${path} is an input and would be overwritten: write to another place.`);
    }
  }
}

/** @throws InvalidInputError where a file is in its place, or it may not be made */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new InvalidInputError(`The folder ${path} cannot be made: ${messageOf(cause)}`, { cause });
  }
}

function commonFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0]!);
  while (!paths.every((path) => path.startsWith(folder === sep ? sep : folder + sep))) folder = dirname(folder);
  return folder;
}

function trainingOf(flags: Flags, signal: AbortSignal): FileBacktest['detector'] {
  const rows: TrainRows = flags.trainRows ?? {
    fraction: flags.trainFraction!,
    most: flags.trainMax ?? Number.POSITIVE_INFINITY,
  };
  return { rows, family: familyOf(flags), window: flags.window, stride: flags.stride, seed: flags.seed, signal };
}

async function backtest(
  input: string,
  output: string | undefined,
  detector: BacktestDetector | FileBacktest['detector'],
  flags: Flags,
  signal: AbortSignal,
): Promise<FileSummary> {
  const file = output === undefined ? undefined : await ScoresFile.create(output);
  let lines: ScoreLines | undefined;
  try {
    const result = await backtestFile({
      path: input,
      reading: readingOf(flags),
      detector,
      sink: (header) => {
        lines = new ScoreLines(header.channels, header.detector?.signature ?? null);
        void file?.write(lines.header);
        return lines;
      },
      drain: async () => {
        const text = lines!.take();
        await file?.write(text);
      },
      sourceRateHz: flags.sourceRate,
      signal,
    });
    await file?.finish();
    if (result.detector === null) {
      process.stderr.write(`${input}: no more rows than to train on, so none is scored.\n`);
    }
    return summaryOf(input, output, result, lines!);
  } catch (error) {
    await file?.abandon();
    throw error;
  }
}

function summaryOf(
  input: string,
  output: string | undefined,
  { counters, detector, trainedRows, trainMs, runMs }: Awaited<ReturnType<typeof backtestFile>>,
  { rows, scoredRows, anomalies, anomalousRows }: ScoreLines,
): FileSummary {
  const { windows, missingValues, restarts, invalidScores } = counters;
  return {
    input,
    output: output ?? null,
    family: detector?.family ?? null,
    rows,
    trainedRows,
    scoredRows,
    windows,
    anomalies,
    anomalousRows,
    flaggedShare: rows > trainedRows ? anomalousRows / (rows - trainedRows) : 0,
    missingValues,
    restarts,
    invalidScores,
    trainSeconds: trainMs / 1_000,
    seconds: runMs / 1_000,
    windowsPerSecond: runMs > 0 ? (windows * 1_000) / runMs : 0,
  };
}

function tell(files: readonly FileSummary[], flags: Flags): void {
  if (files.length === 0) return;
  const sum = (value: (file: FileSummary) => number): number => files.reduce((total, file) => total + value(file), 0);
  const seconds = sum((file) => file.seconds);
  const total = {
    files: files.length,
    rows: sum((file) => file.rows),
    windows: sum((file) => file.windows),
    anomalies: sum((file) => file.anomalies),
    flaggedShare:
      sum((file) => file.anomalousRows) /
      Math.max(
        1,
        sum((file) => file.rows - file.trainedRows),
      ),
    trainSeconds: sum((file) => file.trainSeconds),
    seconds,
    windowsPerSecond: seconds > 0 ? sum((file) => file.windows) / seconds : 0,
  };
  if (flags.json) return void process.stdout.write(`${JSON.stringify({ ...total, inputs: files }, null, 2)}\n`);
  const table = formatTable(
    ['input', 'model', 'rows', 'trained', 'scored', 'anomalies', 'flagged', 'windows/s'],
    files.map((file) => [
      file.input,
      file.family ?? '-',
      String(file.rows),
      String(file.trainedRows),
      String(file.scoredRows),
      String(file.anomalies),
      `${(file.flaggedShare * 100).toFixed(1)} %`,
      String(Math.round(file.windowsPerSecond)),
    ]),
  );
  // Scores on standard output are not to be mixed with anything.
  (flags.output === '-' ? process.stderr : process.stdout).write(`${table}\n`);
}
