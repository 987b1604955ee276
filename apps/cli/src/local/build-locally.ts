import { stat } from 'node:fs/promises';
import { VARIANT_KINDS, variantKindSchema } from '@drover/contracts';
import type { VariantKind } from '@drover/contracts';
import { buildRelease, cardToMarkdown } from '@drover/factory';
import type { BuildOptions, BuiltRelease } from '@drover/factory';
import { InvalidInputError } from '@drover/runtime';
import { Option } from 'commander';
import type { Command } from 'commander';
import { formatTable } from '../table.ts';
import { figure, share } from './figures.ts';
import { interruptible } from './interruption.ts';
import { progressLines } from './progress-lines.ts';
import { wholeNumber } from './reading-flags.ts';
import { writeReleaseFolder } from './release-folder.ts';

/** Options of every command that makes a release. */
export interface BuildFlags {
  readonly output: string;
  readonly variants?: string[];
  readonly eval?: string[];
  readonly maxGap?: number;
  readonly json?: boolean;
}

export function addBuildOptions(command: Command): Command {
  return command
    .requiredOption('--output <folder>', 'where the release goes: manifest.json, artifacts/, card.json, card.md')
    .addOption(
      new Option('--variants <kinds...>', `of ${VARIANT_KINDS.join(', ')} (default: those that fit the family)`),
    )
    .option('--eval <files...>', 'labelled CSV files to measure on; never trained on')
    .option('--max-gap <ms>', 'a longer step in time starts the window anew (default: found in the data)', wholeNumber)
    .option('--json', 'print the model card as JSON');
}

/** @throws InvalidInputError */
export function variantsOf({ variants }: BuildFlags): VariantKind[] | undefined {
  return variants?.flatMap((text) =>
    text.split(',').map((kind) => {
      const parsed = variantKindSchema.safeParse(kind);
      if (parsed.success) return parsed.data;
      throw new InvalidInputError(`There is no kind of variant "${kind}"; there are ${VARIANT_KINDS.join(', ')}.`);
    }),
  );
}

/**
 * Makes a release and writes it to a folder; tells how far it is on standard error and what came of it on standard output.
 * Ctrl-C leaves nothing behind.
 *
 * @param prepare reads what the release is made of
 */
export async function buildLocally(
  flags: BuildFlags,
  prepare: () => Promise<Omit<BuildOptions, 'signal' | 'onProgress'>>,
): Promise<void> {
  // Known before the work, not after it.
  if ((await stat(flags.output).catch(() => undefined)) !== undefined) {
    throw new InvalidInputError(`${flags.output} exists already: remove it, or give another --output.`);
  }
  await interruptible(async (signal) => {
    const onProgress = progressLines(
      (line) => process.stderr.write(line),
      () => performance.now(),
    );
    const release = await buildRelease({ ...(await prepare()), signal, onProgress });
    signal.throwIfAborted();
    await writeReleaseFolder(flags.output, release, cardToMarkdown(release.card));
    process.stdout.write(
      flags.json ? `${JSON.stringify(release.card, null, 2)}\n` : `${summaryOf(release, flags.output)}\n`,
    );
  });
}

function summaryOf({ card }: BuiltRelease, folder: string): string {
  const rows = card.variants.map(({ name, sizeBytes, cost, metrics, offered, refusals }) => [
    name,
    `${(sizeBytes / 1_024).toFixed(1)} KiB`,
    String(cost.parameters),
    figure(metrics.f1),
    share(metrics.far),
    share(metrics.mar),
    figure(metrics.vusPr),
    share(metrics.agreement),
    offered ? 'yes' : `no: ${refusals.map(({ message }) => message).join(' ')}`,
  ]);
  return [
    formatTable(['variant', 'size', 'parameters', 'F1', 'FAR', 'MAR', 'VUS-PR', 'agreement', 'offered'], rows),
    ...(card.choice.length === 0 ? [] : ['', ...card.choice]),
    ...(card.limits.length === 0 ? [] : ['', ...card.limits.map((limit) => `- ${limit}`)]),
    '',
    `${card.family} in ${folder}: "drover factory report ${folder}" prints its card.`,
  ].join('\n');
}
