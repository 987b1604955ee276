import { FAMILIES } from '@drover/factory';
import { BenchFailedError } from '../harness/bench-failed.ts';
import type { BacktestJob, FileScores } from './backtest-job.ts';
import { runJobs } from './run-jobs.ts';

/** What one family, trained with one seed, said of a data set's files. */
export interface FamilyRun {
  readonly family: string;
  readonly seed: number;
  readonly files: readonly FileScores[];
}

/** Of families whose result depends on it. */
const SEEDS = [1, 2, 3];

/** @throws BenchFailedError for a family that does not exist */
export function familiesFor(wanted: readonly string[] | undefined): string[] {
  const known = Object.keys(FAMILIES);
  const unknown = wanted?.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new BenchFailedError(`There is no family "${unknown}"; there are ${known.join(', ')}.`);
  return wanted === undefined ? known : [...wanted];
}

/**
 * Every family on every file. Where two seeds say the same of the first file to the bit, there is no randomness and one seed
 * is enough.
 */
export async function runFamilies(
  families: readonly string[],
  files: BacktestJob['files'],
  say: (text: string) => void,
): Promise<FamilyRun[]> {
  const first = jobsOf(families, [SEEDS[0]!], files);
  const tries = jobsOf(families, SEEDS.slice(0, 2), files.slice(0, 1));
  const tried = await runJobs(tries, () => undefined);
  const random = families.filter((_, i) => !isSame(tried[2 * i]!, tried[2 * i + 1]!));
  const jobs = [...first, ...jobsOf(random, SEEDS.slice(1), files)];
  const began = performance.now();
  let ended = 0;
  const results = await runJobs(jobs, ({ family, seed }) => {
    ended += 1;
    const seconds = ((performance.now() - began) / 1_000).toFixed(0);
    say(`${seconds} s: ${family}, seed ${seed} (${ended} of ${jobs.length})`);
  });
  const runs = jobs.map(({ family, seed }, i) => ({ family, seed, files: results[i]! }));
  return families.flatMap((family) => runs.filter((run) => run.family === family));
}

function jobsOf(families: readonly string[], seeds: readonly number[], files: BacktestJob['files']): BacktestJob[] {
  return families.flatMap((family) => seeds.map((seed) => ({ family, seed, files })));
}

function isSame([a]: readonly FileScores[], [b]: readonly FileScores[]): boolean {
  return a === undefined || b === undefined || Buffer.from(a.compared.buffer).equals(Buffer.from(b.compared.buffer));
}

/** Runs of one family, and what they are called in a table: `conv, 3 seeds`. */
export function byFamily(runs: readonly FamilyRun[]): { readonly label: string; readonly runs: FamilyRun[] }[] {
  return [...Map.groupBy(runs, ({ family }) => family)].map(([family, list]) => ({
    label: list.length === 1 ? family : `${family} (${list.length} seeds)`,
    runs: list,
  }));
}

/** Mean, and in words how far seeds are apart. */
export function over(runs: readonly FamilyRun[], value: (run: FamilyRun) => number): { mean: number; spread: string } {
  const values = runs.map(value);
  const mean = values.reduce((sum, one) => sum + one, 0) / values.length;
  return {
    mean,
    spread: values.length === 1 ? '' : `, ${short(Math.min(...values))} to ${short(Math.max(...values))}`,
  };
}

function short(value: number): string {
  return Number(value.toPrecision(3)).toString();
}
