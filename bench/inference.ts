import type { BenchOptions, BenchResult, Measure } from './harness/bench.ts';
import { runTrials } from './inference/run-trials.ts';
import { medianOf } from './inference/trial.ts';
import type { Pair, Quantiles } from './inference/trial.ts';

export const name = 'inference';
export const summary =
  'sample → window → score → decision in the worker, and from the sensor to there; against bare session.run of the same model';

/** Short blocks, so that both sides of a pair see the same machine. */
const BACK_TO_BACK = { pairs: 15, block: 500, periodMs: 0 };
/** The goal is held against this one: a 500 Hz sensor. */
const PACED = { pairs: 6, block: 150, periodMs: 2 };
/** Shown as well: the longer a processor does other things in between, the colder it finds its caches, also for a bare run. */
const SLOW = { pairs: 3, block: 40, periodMs: 20 };

const MOST_PATH_RATIO = 1.5;
const MOST_HOP_US = 100;

export async function run({ say }: BenchOptions): Promise<BenchResult> {
  say('in a process with the settings that the agent gives itself');
  const { results, flags } = await runTrials([BACK_TO_BACK, PACED, SLOW]);
  return {
    measures: results.flatMap(({ model, trials: [backToBack, paced, slow] }) => [
      ...pathMeasures(model, backToBack!),
      ...hopMeasures(model, paced!, slow!, backToBack!),
    ]),
    settings: {
      models: results.map(({ description }) => description).join('; '),
      bare: 'session.run on preallocated tensors in the same worker',
      'of the figures': 'each a median over pairs of blocks, one bare and one through the path',
      'the 100 us goal': `against bare runs at the pace of the sensor, ${hertz(PACED)}`,
      threadsPerRun: 1,
      provider: 'cpu',
      node: flags.join(' '),
    },
  };
}

function pathMeasures(model: string, pairs: readonly Pair[]): Measure[] {
  const p50 = against(`${model}: path in the worker, back to back`, pairs, 'path', 'p50');
  return [
    { ...p50, goal: `<= ${MOST_PATH_RATIO} x bare`, ok: p50.ratio <= MOST_PATH_RATIO },
    against(`${model}: path in the worker, back to back`, pairs, 'path', 'p99'),
  ];
}

function hopMeasures(
  model: string,
  paced: readonly Pair[],
  slow: readonly Pair[],
  backToBack: readonly Pair[],
): Measure[] {
  const label = `${model}: sensor to decision`;
  const hopUs = medianOf(paced, ({ sensor, bare }) => sensor.p50 - bare.p50);
  const bareUs = medianOf(backToBack, ({ bare }) => bare.p50);
  return [
    against(`${label}, ${hertz(PACED)}`, paced, 'sensor', 'p50'),
    against(`${label}, ${hertz(PACED)}`, paced, 'sensor', 'p99'),
    {
      metric: `${label} - bare, ${hertz(PACED)}, p50`,
      value: hopUs,
      unit: 'us',
      goal: `<= ${MOST_HOP_US} us`,
      ok: hopUs <= MOST_HOP_US,
    },
    {
      metric: `${label} - bare back to back, p50`,
      value: medianOf(paced, ({ sensor }) => sensor.p50) - bareUs,
      unit: 'us',
    },
    against(`${label}, ${hertz(SLOW)}`, slow, 'sensor', 'p50'),
  ];
}

function against(
  metric: string,
  pairs: readonly Pair[],
  side: 'path' | 'sensor',
  at: keyof Quantiles,
): Measure & { ratio: number } {
  return {
    metric: `${metric}, ${at}`,
    value: medianOf(pairs, (pair) => pair[side][at]),
    unit: 'us',
    peer: { name: 'us bare', value: medianOf(pairs, ({ bare }) => bare[at]) },
    ratio: medianOf(pairs, (pair) => pair[side][at] / pair.bare[at]),
  };
}

function hertz({ periodMs }: { readonly periodMs: number }): string {
  return `${1_000 / periodMs} Hz`;
}
