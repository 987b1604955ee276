import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { samplingOfRows } from '@drover/factory';
import type { NamedEvaluation, NamedRecording } from '@drover/factory';
import { loadRecording } from '@drover/recordings';
import type { RecordingOptions } from '@drover/recordings';
import { InvalidInputError } from '@drover/runtime';
import { csvFiles } from './csv-files.ts';

export interface LoadedFile {
  readonly path: string;
  readonly recording: NamedRecording & { readonly timesMs: Float64Array };
}

/** Reads recordings into memory, all with the channels of the first unless they are named. @throws as `loadRecording` */
export async function loadFiles(given: readonly string[], reading: RecordingOptions): Promise<LoadedFile[]> {
  const files: LoadedFile[] = [];
  let { channels } = reading;
  for (const path of await csvFiles(given)) {
    const { header: _, ...recording } = await loadRecording(path, { ...reading, channels });
    channels ??= recording.channels;
    files.push({ path, recording: { ...recording, name: path, digest: await digestOf(path) } });
  }
  return files;
}

/**
 * Labelled recordings to measure on. One that is trained on as well counts only from the row after those trained on.
 *
 * @throws InvalidInputError for one without labels, or that is trained on as a whole
 */
export async function loadEvaluation(
  given: readonly string[],
  reading: RecordingOptions,
  trained: { readonly paths: readonly string[]; readonly rows: number | undefined },
): Promise<NamedEvaluation[]> {
  const trainedOn = new Set(trained.paths.map((path) => resolve(path)));
  return (await loadFiles(given, reading)).map(({ path, recording }) => {
    const { labels } = recording;
    if (labels === undefined) {
      throw new InvalidInputError(`${path} has no labels to measure on: name the column with --labels.`);
    }
    const labelled = { ...recording, labels };
    if (!trainedOn.has(resolve(path))) return { recording: labelled };
    if (trained.rows === undefined) {
      throw new InvalidInputError(`${path} is trained on as a whole: give --train-rows, or measure on another.`);
    }
    return { recording: labelled, fromRow: trained.rows };
  });
}

/** As in the report on a dataset: windows of different rates span different times. */
const MOST_RATE_RATIO = 1.25;

/** @throws InvalidInputError where recordings that shall be trained on together have different rates */
export function refuseMixedRates(files: readonly LoadedFile[]): void {
  const rated = files
    .map(({ path, recording }) => ({ path, ...samplingOfRows(recording.timesMs) }))
    .filter(({ moves }) => moves)
    .toSorted((a, b) => a.rateHz - b.rateHz);
  const [slowest, fastest] = [rated[0], rated.at(-1)];
  if (slowest === undefined || fastest === undefined || fastest.rateHz / slowest.rateHz <= MOST_RATE_RATIO) return;
  const shown = ({ path, rateHz }: typeof slowest): string => `${path} has ${Number(rateHz.toPrecision(3))} Hz`;
  throw new InvalidInputError(
    `The files have different rates: ${shown(slowest)}, ${shown(fastest)}. Bring them to one rate, or make a release of each.`,
  );
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
