import { FAMILIES } from '@drover/factory';
import type { BenchOptions, BenchResult } from './harness/bench.ts';
import { epochsMeasure, kernelMeasure } from './training/kernels.ts';
import { machineRows, someRecording } from './training/recordings.ts';
import { measureTraining } from './training/train-times.ts';

export const name = 'training';
export const summary =
  'how long families train on 400 rows of 8 channels, and auto on 10,000; kernels against a plain loop';

/** Goals in milliseconds; families without one are shown as well. */
const GOALS: Readonly<Record<string, number>> = { pca: 50, mahalanobis: 50, 'dense-ae': 2_000 };
const LONG_GOALS: Readonly<Record<string, number>> = { auto: 60_000 };
const LONG_FAMILIES = ['pca', 'dense-ae', 'conv', 'auto'];
const LONG_ROWS = 10_000;
const SEED = 1;

export async function run({ dataDir, families, say }: BenchOptions): Promise<BenchResult> {
  const wanted = (family: string): boolean => Object.hasOwn(FAMILIES, family) && (families?.includes(family) ?? true);
  const { recording, label } = await someRecording(dataDir, SEED);
  const measures = [kernelMeasure(), ...(wanted('dense-ae') ? [await epochsMeasure(recording, SEED)] : [])];
  for (const family of Object.keys(FAMILIES).filter(wanted)) {
    say(`${family} on ${recording.rows} rows`);
    measures.push(await measureTraining(family, recording, SEED, GOALS[family]));
  }
  const long = machineRows(LONG_ROWS, SEED);
  for (const family of LONG_FAMILIES.filter(wanted)) {
    say(`${family} on ${long.rows} rows`);
    measures.push(await measureTraining(family, long, SEED, LONG_GOALS[family]));
  }
  return {
    measures,
    settings: {
      'trained on': `${label}; and ${LONG_ROWS} made-up rows of 8 channels`,
      'of times':
        'wall clock of one thread; the median of up to 5 trainings after one to warm up, one where it is long',
      options: "each family's defaults, seed 1",
      plain: 'three nested loops in JavaScript over the same Float32Arrays',
    },
  };
}
