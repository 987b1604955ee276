import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { api } from '@drover/contracts';
import type { Dataset } from '@drover/contracts';
import { CallerError } from '@drover/runtime';
import type { Command } from 'commander';
import { addConnectionOptions, connect } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { describeReport } from './local/inspect-command.ts';
import { interruptible } from './local/interruption.ts';
import { csvFiles } from './local/csv-files.ts';
import { addReadingOptions, readingOf } from './local/reading-flags.ts';
import type { ReadingFlags } from './local/reading-flags.ts';
import { formatObject } from './table.ts';

/** A dataset that cannot be trained on. */
export class DatasetInvalidError extends CallerError {}

interface Flags extends ConnectionOptions, ReadingFlags {
  readonly name: string;
  readonly wait: boolean;
}

const POLL_MS = 500;

/** Adds `upload` to the group `datasets`. */
export function addDatasetCommands(datasets: Command): void {
  datasets.description(`${datasets.description()}, upload`);
  const upload = datasets
    .command('upload')
    .description(
      'Upload CSV files, make a dataset of them and say what is in them; the exit code is 2 where it is INVALID',
    )
    .argument('<files...>', 'CSV files, or folders with some')
    .requiredOption('--name <name>', 'what people call it')
    .option('--no-wait', 'do not wait for the validation');
  addConnectionOptions(addReadingOptions(upload)).action((given: string[], flags: Flags) =>
    interruptible((signal) => uploadDataset(given, flags, signal)),
  );
}

async function uploadDataset(given: readonly string[], flags: Flags, signal: AbortSignal): Promise<void> {
  const client = connect(flags);
  const files = [];
  for (const path of await csvFiles(given)) {
    const stream = Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>;
    const { digest } = await client.upload(stream, 'text/csv', signal);
    files.push({ name: basename(path), artifact: digest });
  }
  // What is undefined is left to be found.
  const options = JSON.parse(JSON.stringify(readingOf(flags))) as object;
  let dataset = await client.call(api.datasets.create, { body: { name: flags.name, files, options } });
  while (flags.wait && dataset.status === 'VALIDATING') {
    await delay(POLL_MS, undefined, { signal });
    dataset = await client.call(api.datasets.get, { params: { dataset: dataset.id }, signal });
  }
  process.stdout.write(`${flags.json ? JSON.stringify(dataset, null, 2) : describe(dataset)}\n`);
  if (dataset.status === 'INVALID') {
    throw new DatasetInvalidError(`The dataset cannot be trained on: ${dataset.error?.message ?? 'see its report'}`);
  }
}

function describe({ id, name, status, report }: Dataset): string {
  return `${formatObject({ id, name, status })}${report === null ? '' : `\n\n${describeReport(report)}`}`;
}
