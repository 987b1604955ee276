import { recordingRows } from '@drover/factory';
import type { Recording } from '@drover/factory';
import { findRecordings, loadRecording } from '@drover/recordings';
import { BenchFailedError } from '../harness/bench-failed.ts';

const TRAIN_ROWS = 400;
const CHANNELS = 8;

/** What is trained on: the first rows of one of SKAB's files where there is a folder with them, else made-up ones. */
export async function someRecording(
  dataDir: string | undefined,
  seed: number,
): Promise<{ readonly recording: Recording; readonly label: string }> {
  if (dataDir === undefined) {
    return { recording: machineRows(TRAIN_ROWS, seed), label: `${TRAIN_ROWS} made-up rows of ${CHANNELS} channels` };
  }
  const found = (await findRecordings(dataDir)).find(({ name }) => name.startsWith('skab/valve1/'));
  if (found === undefined) throw new BenchFailedError(`There are no recordings in ${dataDir}/skab/valve1`);
  const recording = recordingRows(await loadRecording(found.path), [0, TRAIN_ROWS]);
  return { recording, label: `the first ${recording.rows} rows of ${found.name}` };
}

/** A made-up machine at 1 Hz: a load that wanders, channels that follow it with their own noise, some not linearly. */
export function machineRows(rows: number, seed: number): Recording {
  const random = lehmer(seed);
  const noise = (): number => random() + random() + random() - 1.5;
  const values = new Float32Array(rows * CHANNELS);
  let load = 0;
  for (let row = 0; row < rows; row += 1) {
    load = 0.95 * load + 0.5 * noise();
    const daily = Math.sin(row / 300);
    for (let c = 0; c < CHANNELS; c += 1) {
      const follows = c % 3 === 2 ? load * load : load;
      values[row * CHANNELS + c] = 10 * (c + 1) + follows + 0.3 * daily + (0.1 + 0.05 * c) * noise();
    }
  }
  return { channels: Array.from({ length: CHANNELS }, (_, c) => `c${c}`), rows, values };
}

/** D. H. Lehmer's generator with the multiplier 48271. */
function lehmer(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
