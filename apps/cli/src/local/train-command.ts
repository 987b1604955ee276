import { Command } from 'commander';
import { addBuildOptions, buildLocally, variantsOf } from './build-locally.ts';
import type { BuildFlags } from './build-locally.ts';
import { loadEvaluation, loadFiles, refuseMixedRates } from './named-recordings.ts';
import { addReadingOptions, readingOf, wholeNumber } from './reading-flags.ts';
import type { ReadingFlags } from './reading-flags.ts';
import { addTrainingOptions, familyOf } from './training-flags.ts';
import type { TrainingFlags } from './training-flags.ts';

type Flags = BuildFlags & ReadingFlags & TrainingFlags & { readonly input: string[]; readonly trainRows?: number };

/** `drover factory train`: a release from CSV files of normal operation. */
export function trainCommand(): Command {
  const command = new Command('train')
    .description('Train a model on CSV files and make a release of it, as the control plane would')
    .requiredOption('--input <files...>', 'CSV files of normal operation, or folders with some')
    .option('--train-rows <rows>', 'train on the first rows of each file only', wholeNumber);
  addBuildOptions(addReadingOptions(addTrainingOptions(command)));
  return command.action((flags: Flags) =>
    buildLocally(flags, async () => {
      const reading = readingOf(flags);
      const { trainRows, window, stride, seed } = flags;
      const files = await loadFiles(flags.input, reading);
      refuseMixedRates(files);
      const channels = files[0]!.recording.channels;
      const trained = { paths: files.map(({ path }) => path), rows: trainRows };
      const evaluation = flags.eval && (await loadEvaluation(flags.eval, { ...reading, channels }, trained));
      const variants = variantsOf(flags);
      return {
        source: {
          kind: 'train',
          recordings: files.map(({ recording }) => recording),
          family: familyOf(flags),
          ...(trainRows === undefined ? {} : { trainRows }),
        },
        seed,
        ...(flags.maxGap === undefined ? {} : { maxGapMs: flags.maxGap }),
        ...(window === undefined ? {} : { window }),
        ...(stride === undefined ? {} : { stride }),
        ...(evaluation === undefined ? {} : { evaluation }),
        ...(variants === undefined ? {} : { variants }),
      };
    }),
  );
}
