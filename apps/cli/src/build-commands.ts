import { setTimeout as delay } from 'node:timers/promises';
import type { DroverClient } from '@drover/client';
import { api } from '@drover/contracts';
import type { Build, BuildRequest } from '@drover/contracts';
import { InvalidInputError, OperationError, problemsOf } from '@drover/runtime';
import type { Command } from 'commander';
import { addConnectionOptions, connect } from './connection.ts';
import type { ConnectionOptions } from './connection.ts';
import { interruptible } from './local/interruption.ts';
import { addTrainingOptions } from './local/training-flags.ts';
import type { TrainingFlags } from './local/training-flags.ts';
import { wholeNumber } from './local/reading-flags.ts';
import { formatObject } from './table.ts';

/** A build that was watched did not succeed. */
export class BuildNotSucceededError extends OperationError {}

interface TrainFlags extends ConnectionOptions, TrainingFlags {
  readonly model: string;
  readonly datasets?: string[];
  readonly artifacts?: string[];
  readonly evalDatasets?: string[];
  readonly evalArtifacts?: string[];
  readonly trainRows?: number;
  readonly variants?: string[];
  readonly watch?: boolean;
}

const POLL_MS = 500;

/** Adds `train` and `watch` to the group `builds`. */
export function addBuildCommands(builds: Command): void {
  builds.description(`${builds.description()}, train, watch`);
  const train = builds
    .command('train')
    .description('Train a model on datasets: what "create" does, with options instead of a body')
    .requiredOption('--model <id>', 'the model that the release belongs to')
    .option('--datasets <ids...>', 'to train on')
    .option('--artifacts <digests...>', 'uploaded CSV files to train on')
    .option('--eval-datasets <ids...>', 'labelled, to measure on')
    .option('--eval-artifacts <digests...>', 'labelled CSV files to measure on')
    .option('--train-rows <rows>', 'train on the first rows of each file only', wholeNumber)
    .option('--variants <kinds...>', 'default: those that fit the family')
    .option('--watch', 'follow it to its end');
  addConnectionOptions(addTrainingOptions(train)).action(async (flags: TrainFlags) => {
    const client = connect(flags);
    const build = await client.call(api.builds.create, { body: requestOf(flags) });
    if (flags.watch) await watch(client, build.id, flags);
    else print(build, flags);
  });
  addConnectionOptions(
    builds
      .command('watch')
      .description('Follow a build to its end; the exit code is 1 where it fails')
      .argument('<build>'),
  ).action((build: string, flags: ConnectionOptions) => watch(connect(flags), build, flags));
}

/** @throws InvalidInputError */
function requestOf(flags: TrainFlags): BuildRequest {
  const { model, datasets, artifacts, evalDatasets = [], evalArtifacts = [], family, option, seed } = flags;
  if ((datasets === undefined) === (artifacts === undefined)) {
    throw new InvalidInputError('Give either --datasets or --artifacts to train on.');
  }
  const { trainRows, window, stride, variants } = flags;
  const request = api.builds.create.body.safeParse({
    model,
    training: {
      family,
      options: option ?? {},
      source: datasets === undefined ? { kind: 'recordings', artifacts } : { kind: 'datasets', datasets },
      seed,
      trainRows,
      window,
      stride,
    },
    evaluation: { datasets: evalDatasets, artifacts: evalArtifacts },
    variants,
  });
  if (request.success) return request.data;
  throw new InvalidInputError('The build cannot be made.', { problems: problemsOf(request.error) });
}

/** One line whenever something has changed. @throws BuildNotSucceededError */
async function watch(client: DroverClient, id: string, flags: ConnectionOptions): Promise<void> {
  await interruptible(async (signal) => {
    let told = '';
    for (;;) {
      const build = await client.call(api.builds.get, { params: { build: id }, signal });
      const line = lineOf(build);
      if (line !== told) process.stderr.write(`${line}\n`);
      told = line;
      if (build.status === 'FAILED' || build.status === 'CANCELED') {
        if (flags.json) print(build, flags);
        const reason = build.error === null ? '' : `: ${build.error.message} (${build.error.code})`;
        throw new BuildNotSucceededError(`The build ended as ${build.status}${reason}`);
      }
      if (build.status === 'SUCCEEDED') return print(build, flags);
      await delay(POLL_MS, undefined, { signal });
    }
  });
}

function lineOf({ status, progress, phase, loss }: Build): string {
  const percent = `${String(Math.round(progress * 100)).padStart(3)} %`;
  return `${status.padEnd(9)}  ${percent}  ${phase}${loss === null ? '' : `  loss ${loss.toPrecision(4)}`}`;
}

function print(build: Build, { json }: ConnectionOptions): void {
  process.stdout.write(`${json ? JSON.stringify(build, null, 2) : formatObject(build)}\n`);
}
