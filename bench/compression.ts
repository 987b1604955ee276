import { measureTrained } from './compression/trained.ts';
import { measureUntrained } from './compression/untrained.ts';
import type { BenchOptions, BenchResult } from './harness/bench.ts';

export const name = 'compression';
export const summary = 'sizes, speed and losses of compressed models against fp32, measured in turns';

const SEED = 1;

export async function run({ dataDir, families, say }: BenchOptions): Promise<BenchResult> {
  say('an untrained autoencoder of a megabyte');
  const untrained = await measureUntrained(Math.random);
  return {
    measures: [...untrained, ...(await measureTrained(dataDir, SEED, families, say))],
    settings: {
      'trained on':
        dataDir === undefined ? 'the recordings of the demo' : '400 first rows of recordings in skab/valve1',
      'of losses': 'measured on all rows that were not trained on; means over the recordings',
      'of the speeds':
        'median of 40 blocks of 150 runs, all models in turns in one process; ratios are of the same round',
      batch: 1,
      threadsPerRun: 1,
      provider: 'cpu',
    },
  };
}
