import type { RecordingOptions } from '@drover/recordings';
import { InvalidInputError } from '@drover/runtime';
import type { Command } from 'commander';

/** Options of every command that reads CSV files of this machine. */
export interface ReadingFlags {
  readonly delimiter?: string;
  readonly timestamp?: string;
  readonly labels?: string[];
  readonly channels?: string[];
  readonly rate?: number;
}

export function addReadingOptions(command: Command): Command {
  return command
    .option('--delimiter <character>', 'what separates the columns; "tab" for a tab (default: found)')
    .option('--timestamp <column>', 'column with the time (default: found)')
    .option('--labels <columns...>', 'label columns besides anomaly, label, changepoint …; never trained on')
    .option('--channels <columns...>', 'columns to use, in this order (default: every column of numbers)')
    .option('--rate <hz>', 'rows per second, for files without times', positive);
}

export function readingOf(flags: ReadingFlags): RecordingOptions {
  const { delimiter, timestamp, labels, channels, rate } = flags;
  return {
    delimiter: delimiter === 'tab' || delimiter === String.raw`\t` ? '\t' : delimiter,
    timestamp,
    labels: labels?.flatMap((name) => name.split(',')),
    channels: channels?.flatMap((name) => name.split(',')),
    rateHz: rate,
  };
}

/** @throws InvalidInputError */
export function positive(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidInputError(`"${text}" must be a positive number.`);
  return value;
}

/** @throws InvalidInputError */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < 0)
    throw new InvalidInputError(`"${text}" must be a whole number.`);
  return value;
}
