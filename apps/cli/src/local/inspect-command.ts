import { inspectRecordings } from '@drover/recordings';
import type { DatasetReport, RecordingReport } from '@drover/recordings';
import { Command } from 'commander';
import { formatTable } from '../table.ts';
import { share } from './figures.ts';
import { interruptible } from './interruption.ts';
import { csvFiles } from './csv-files.ts';
import { addReadingOptions, readingOf } from './reading-flags.ts';
import type { ReadingFlags } from './reading-flags.ts';

/** `drover factory inspect`: what a control plane would say of a dataset. Exit code 2 where it could not be trained on. */
export function inspectCommand(): Command {
  const command = new Command('inspect')
    .description('Say what is in CSV files, and what keeps them from being trained on')
    .argument('<files...>', 'CSV files, or folders with some')
    .option('--json', 'print JSON');
  return addReadingOptions(command).action((given: string[], flags: ReadingFlags & { json?: boolean }) =>
    interruptible(async (signal) => {
      const files = (await csvFiles(given)).map((path) => ({ name: path, path }));
      const report = await inspectRecordings(files, readingOf(flags), signal);
      process.stdout.write(`${flags.json ? JSON.stringify(report, null, 2) : describeReport(report)}\n`);
      if (report.problems.some(({ severity }) => severity === 'error')) process.exitCode = 2;
    }),
  );
}

const LONGEST_LIST = 48;

function channelsOf({ channels }: RecordingReport): string {
  const list = channels.map(({ name }) => name).join(', ');
  return `${channels.length}: ${list.length > LONGEST_LIST ? `${list.slice(0, LONGEST_LIST - 1)}…` : list}`;
}

export function describeReport({ files, problems }: DatasetReport): string {
  const table = formatTable(
    ['file', 'rows', 'rate', 'from', 'gaps', 'channels', 'labelled'],
    files.map((file) => [
      file.name,
      String(file.rows),
      file.rateHz === null ? '-' : `${Number(file.rateHz.toPrecision(3))} Hz`,
      file.startAt ?? '-',
      String(file.gaps.count),
      channelsOf(file),
      share(file.labelShare ?? undefined),
    ]),
  );
  const lines = problems.map(
    ({ severity, file, message }) => `${severity}: ${file === null ? '' : `${file}: `}${message}`,
  );
  return [...(files.length > 0 ? [table] : []), ...lines].join('\n');
}
