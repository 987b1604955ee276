import { measureUntrained } from './compression/untrained.ts';
import type { BenchOptions, BenchResult } from './harness/bench.ts';

export const name = 'compression';
export const summary = 'sizes, speed and losses of compressed models against fp32, measured in turns';

export async function run({ say }: BenchOptions): Promise<BenchResult> {
  say('an untrained autoencoder of a megabyte');
  return {
    measures: await measureUntrained(Math.random),
    settings: {
      'of the speeds':
        'median of 40 blocks of 150 runs, all models in turns in one process; ratios are of the same round',
      batch: 1,
      threadsPerRun: 1,
      provider: 'cpu',
    },
  };
}
