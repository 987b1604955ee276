import type { Metrics } from '@drover/contracts';
import { CollectedScores, backtestFile, backtestQuality } from '@drover/factory';
import type { MeasuredBacktest } from '@drover/factory';
import { InvalidInputError } from '@drover/runtime';
import { Command } from 'commander';
import { addConnectionOptions } from '../connection.ts';
import type { ConnectionOptions } from '../connection.ts';
import { formatTable } from '../table.ts';
import { figure, share } from './figures.ts';
import { interruptible } from './interruption.ts';
import { csvFiles } from './csv-files.ts';
import { addReadingOptions, readingOf, wholeNumber } from './reading-flags.ts';
import type { ReadingFlags } from './reading-flags.ts';
import { releaseDetector, variantNames } from './release-detector.ts';

interface Flags extends ConnectionOptions, ReadingFlags {
  readonly release: string;
  readonly variant?: string;
  readonly input: string[];
  readonly fromRow?: number;
}

interface MeasuredVariant {
  readonly variant: string;
  readonly windowsPerSecond: number;
  readonly metrics: Metrics;
}

/** `drover factory evaluate`: how good a release is on labelled recordings. */
export function evaluateCommand(): Command {
  const command = new Command('evaluate')
    .description('Measure the variants of a release on labelled CSV files, by the detection path of the agent')
    .requiredOption('--release <id|folder>', 'a release of the control plane, or a folder that drover factory wrote')
    .requiredOption('--input <files...>', 'labelled CSV files, or folders with some; pooled as if they were one')
    .option('--variant <name>', 'only this one')
    .option('--from-row <row>', 'rows before this one do not count (they may have been trained on)', wholeNumber);
  addConnectionOptions(addReadingOptions(command));
  return command.action((flags: Flags) => interruptible((signal) => evaluate(flags, signal)));
}

async function evaluate(flags: Flags, signal: AbortSignal): Promise<void> {
  const inputs = await csvFiles(flags.input);
  const names = flags.variant === undefined ? await variantNames(flags.release, flags) : [flags.variant];
  const measured: MeasuredVariant[] = [];
  for (const variant of names) {
    process.stderr.write(`${variant} …\n`);
    measured.push(await measure(variant, inputs, flags, signal));
  }
  if (flags.json) {
    process.stdout.write(`${JSON.stringify({ inputs, variants: measured }, null, 2)}\n`);
    return;
  }
  const header = ['variant', 'F1', 'FAR', 'MAR', 'VUS-PR', 'event F1', 'delay', 'false alarms/day', 'windows/s'];
  const rows = measured.map(({ variant, metrics, windowsPerSecond }) => [
    variant,
    figure(metrics.f1),
    share(metrics.far),
    share(metrics.mar),
    figure(metrics.vusPr),
    figure(metrics.eventF1),
    metrics.detectionDelayMs === undefined ? '-' : `${(metrics.detectionDelayMs / 1_000).toFixed(1)} s`,
    figure(metrics.falseAlarmsPerDay),
    String(Math.round(windowsPerSecond)),
  ]);
  process.stdout.write(`${formatTable(header, rows)}\n`);
}

async function measure(
  variant: string,
  inputs: readonly string[],
  flags: Flags,
  signal: AbortSignal,
): Promise<MeasuredVariant> {
  const detector = await releaseDetector(flags.release, variant, flags);
  const backtests: MeasuredBacktest[] = [];
  let windows = 0;
  let runMs = 0;
  for (const path of inputs) {
    const scores = new CollectedScores();
    const { labelled, ...run } = await backtestFile({
      path,
      reading: readingOf(flags),
      detector,
      sink: () => scores,
      signal,
    });
    if (!labelled) throw new InvalidInputError(`${path} has no labels to measure on: name the column with --labels.`);
    windows += run.counters.windows;
    runMs += run.runMs;
    backtests.push({ scores, ...(flags.fromRow === undefined ? {} : { fromRow: flags.fromRow }) });
  }
  return {
    variant,
    windowsPerSecond: runMs > 0 ? (windows * 1_000) / runMs : 0,
    metrics: backtestQuality(backtests, detector.signature),
  };
}
