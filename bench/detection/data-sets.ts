import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundledRecordings, findLabelWindows, findRecordings } from '@drover/recordings';
import type { LabelWindow } from '@drover/recordings';
import { BenchFailedError } from '../harness/bench-failed.ts';
import type { BacktestJob } from './backtest-job.ts';

type Files = BacktestJob['files'];

/** Conventions of the recordings' authors. */
const SKAB_TRAIN_ROWS = 400;
const NAB_TRAIN = { fraction: 0.15, most: 750 };
const PIECE_ROWS = 1_150;
const BUNDLED_TRAIN_ROWS = 300;

export interface DataSets {
  /** SKAB's valve1: files with faults. */
  readonly valve: Files;
  /** Pieces of SKAB's anomaly-free recording. */
  readonly drift: Files;
  readonly nab: Files;
  readonly nabWindows: ReadonlyMap<string, readonly LabelWindow[]>;
  /** The recordings that come with Drover, where no folder was given. */
  readonly bundled: Files;
}

/** @param scratch a folder for pieces of files @throws BenchFailedError where the folder has neither SKAB nor NAB */
export async function findDataSets(folder: string | undefined, scratch: string): Promise<DataSets> {
  const none = { valve: [], drift: [], nab: [], nabWindows: new Map(), bundled: [] };
  if (folder === undefined) {
    return { ...none, bundled: bundledRecordings().faults.map((path) => ({ path, train: BUNDLED_TRAIN_ROWS })) };
  }
  const skab = [folder, join(folder, 'skab')].find((path) => existsSync(join(path, 'valve1')));
  const nab = [folder, join(folder, 'nab')].find((path) => existsSync(join(path, 'labels', 'combined_windows.json')));
  if (skab === undefined && nab === undefined) {
    throw new BenchFailedError(`${folder} holds neither SKAB (valve1/) nor NAB (data/, labels/combined_windows.json).`);
  }
  const series = nab === undefined ? [] : await findRecordings(join(nab, 'data'));
  const windows = await Promise.all(
    series.map(async ({ path }) => [path, (await findLabelWindows(path)) ?? []] as const),
  );
  const free = skab === undefined ? undefined : join(skab, 'anomaly-free', 'anomaly-free.csv');
  return {
    ...none,
    valve:
      skab === undefined
        ? []
        : (await findRecordings(join(skab, 'valve1'))).map(({ path }) => ({ path, train: SKAB_TRAIN_ROWS })),
    drift: free === undefined || !existsSync(free) ? [] : await piecesOf(free, scratch),
    nab: series.map(({ path }) => ({ path, train: NAB_TRAIN })),
    nabWindows: new Map(windows),
  };
}

/** Pieces of a long recording, each with its header; what is left at the end is not long enough to be one. */
async function piecesOf(path: string, scratch: string): Promise<Files> {
  const [header, ...rows] = (await readFile(path, 'utf8')).trimEnd().split(/\r?\n/);
  const folder = join(scratch, 'pieces');
  await mkdir(folder, { recursive: true });
  const files: { path: string; train: number }[] = [];
  for (let from = 0; from + PIECE_ROWS <= rows.length; from += PIECE_ROWS) {
    const piece = join(folder, `${files.length}.csv`);
    await writeFile(piece, [header, ...rows.slice(from, from + PIECE_ROWS)].join('\n'));
    files.push({ path: piece, train: SKAB_TRAIN_ROWS });
  }
  return files;
}
