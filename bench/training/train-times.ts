import { trainFamily } from '@drover/factory';
import type { Recording } from '@drover/factory';
import type { Measure } from '../harness/bench.ts';
import { middleOf } from './middle.ts';

const MOST_RUNS = 5;
/** A training that takes longer is not repeated. */
const LONG_MS = 5_000;

/** Wall-clock time of a family's training. @param goalMs at most */
export async function measureTraining(
  family: string,
  recording: Recording,
  seed: number,
  goalMs: number | undefined,
): Promise<Measure> {
  const train = async (): Promise<number> => {
    const start = performance.now();
    await trainFamily({ name: family }, { recordings: [recording], stride: 1, rateHz: 1, maxGapMs: 60_000 }, { seed });
    return performance.now() - start;
  };
  const first = await train();
  const times: number[] = [];
  for (let runs = first < LONG_MS ? MOST_RUNS : 0; runs > 0; runs -= 1) times.push(await train());
  const value = times.length === 0 ? first : middleOf(times);
  const rows = recording.rows.toLocaleString('en-US');
  return {
    metric: `${family}: train ${rows} rows x ${recording.channels.length}`,
    value,
    unit: 'ms',
    ...(goalMs === undefined ? {} : { goal: `<= ${goalMs.toLocaleString('en-US')} ms`, ok: value <= goalMs }),
  };
}
