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
  const tried = await runAll(plansOf(families, SEEDS.slice(0, 2)), files.slice(0, 1));
  const random = new Set(families.filter((_, i) => !isSame(tried[2 * i]!.files, tried[2 * i + 1]!.files)));
  const began = performance.now();
  const plans = families.flatMap((family) => plansOf([family], random.has(family) ? SEEDS : SEEDS.slice(0, 1)));
  return runAll(plans, files, ({ family, seed }) => {
    say(`${((performance.now() - began) / 1_000).toFixed(0)} s: ${family}, seed ${seed}`);
  });
}

type Plan = Pick<FamilyRun, 'family' | 'seed'>;

function plansOf(families: readonly string[], seeds: readonly number[]): Plan[] {
  return families.flatMap((family) => seeds.map((seed) => ({ family, seed })));
}

/** File by file, so that both threads have work to the end. @param done is told when all files of a plan have ended */
async function runAll(
  plans: readonly Plan[],
  files: BacktestJob['files'],
  done: (plan: Plan) => void = () => undefined,
): Promise<FamilyRun[]> {
  const jobs = plans.flatMap((plan) => files.map((file) => ({ ...plan, files: [file] })));
  const left = plans.map(() => files.length);
  const results = await runJobs(jobs, (_, index) => {
    const plan = Math.floor(index / files.length);
    left[plan]! -= 1;
    if (left[plan] === 0) done(plans[plan]!);
  });
  return plans.map((plan, i) => ({
    ...plan,
    files: results.slice(i * files.length, (i + 1) * files.length).map(([file]) => file!),
  }));
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
