import { readFile } from 'node:fs/promises';
import { decisionPolicySchema, modelSignatureSchema } from '@drover/contracts';
import type { ModelSignature } from '@drover/contracts';
import { samplingOf } from '@drover/factory';
import { decodeModel } from '@drover/onnx';
import { InvalidInputError, messageOf, problemsOf } from '@drover/runtime';
import { Command } from 'commander';
import type { z } from 'zod';
import { addBuildOptions, buildLocally, variantsOf } from './build-locally.ts';
import type { BuildFlags } from './build-locally.ts';
import { loadEvaluation, loadFiles } from './named-recordings.ts';
import type { LoadedFile } from './named-recordings.ts';
import { addReadingOptions, readingOf, wholeNumber } from './reading-flags.ts';
import type { ReadingFlags } from './reading-flags.ts';

interface Flags extends BuildFlags, ReadingFlags {
  readonly model: string;
  readonly signature?: string;
  readonly policy?: string;
  readonly calibration?: string[];
  readonly window?: number;
  readonly seed: number;
}

/** `drover factory compress`: a release from an ONNX file that somebody else has trained. */
export function compressCommand(): Command {
  const command = new Command('compress')
    .description('Make the variants of an ONNX file that fulfils the detector contract, and a release of them')
    .requiredOption('--model <file>', 'ONNX: input window [N, W, C], outputs score [N, S] and contributions [N, C]')
    .option(
      '--signature <json>',
      'channels, rateHz, window …; @file reads a file (default: found in model and calibration)',
    )
    .option('--policy <json>', 'how the score becomes an alarm; @file reads a file (default: found on the calibration)')
    .option('--calibration <files...>', 'CSV files of normal operation, for ranges and thresholds')
    .option('--window <samples>', 'samples per window, where the model leaves it open', wholeNumber)
    .option('--seed <number>', 'the same input and seed give the same variants', wholeNumber, 1);
  addBuildOptions(addReadingOptions(command));
  return command.action((flags: Flags) =>
    buildLocally(flags, async () => {
      const model = await readModel(flags.model);
      const given =
        flags.signature === undefined ? undefined : await parsed('--signature', flags.signature, modelSignatureSchema);
      const policy =
        flags.policy === undefined ? undefined : await parsed('--policy', flags.policy, decisionPolicySchema);
      const channels = given?.channels.map(({ name }) => name);
      const reading = { ...readingOf(flags), ...(channels === undefined ? {} : { channels }) };
      const files = flags.calibration === undefined ? [] : await loadFiles(flags.calibration, reading);
      const signature = given ?? signatureOf(model, files, flags);
      const names = signature.channels.map(({ name }) => name);
      const trained = { paths: files.map(({ path }) => path), rows: undefined };
      const evaluation = flags.eval && (await loadEvaluation(flags.eval, { ...reading, channels: names }, trained));
      const variants = variantsOf(flags);
      return {
        source: {
          kind: 'import',
          model,
          signature,
          ...(policy === undefined ? {} : { policy }),
          calibration: files.map(({ recording }) => recording),
        },
        seed: flags.seed,
        ...(evaluation === undefined ? {} : { evaluation }),
        ...(variants === undefined ? {} : { variants }),
      };
    }),
  );
}

/** The channels and the rate of the calibration, the window of the model. @throws InvalidInputError */
function signatureOf(model: Uint8Array, files: readonly LoadedFile[], flags: Flags): ModelSignature {
  if (files.length === 0) {
    throw new InvalidInputError('Channels and rate are not known: give --calibration, or --signature.');
  }
  const window = flags.window ?? windowOf(model);
  if (window === undefined)
    throw new InvalidInputError('The model leaves the length of its window open: give --window.');
  const { rateHz, maxGapMs } = samplingOf(
    files.map(({ recording }) => recording),
    flags.maxGap === undefined ? {} : { maxGapMs: flags.maxGap },
  );
  return modelSignatureSchema.parse({
    channels: files[0]!.recording.channels.map((name) => ({ name })),
    rateHz,
    window,
    stride: 1,
    warmup: 0,
    maxGapMs,
  });
}

/** W, where the graph fixes it. @throws as `decodeModel` */
function windowOf(model: Uint8Array): number | undefined {
  const input = decodeModel(model).graph.input.find(({ name }) => name === 'window');
  const dimension = input?.type?.tensorType?.shape?.dim[1]?.dimValue;
  const window = dimension === undefined ? 0 : Number(dimension);
  return window > 0 ? window : undefined;
}

async function readModel(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new InvalidInputError(`The file ${path} does not exist, or cannot be read.`, { cause });
  }
}

async function parsed<T extends z.ZodType>(flag: string, given: string, schema: T): Promise<z.infer<T>> {
  let value: unknown;
  try {
    value = JSON.parse(given.startsWith('@') ? await readFile(given.slice(1), 'utf8') : given);
  } catch (cause) {
    throw new InvalidInputError(`${flag} is no JSON: ${messageOf(cause)}`, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new InvalidInputError(`${flag} does not fit.`, { problems: problemsOf(result.error) });
}
