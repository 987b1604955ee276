import { seededRandom } from './random.ts';
import type { Recording } from './window-set.ts';

/** A fault on one channel from a row on. */
export interface FixtureFault {
  readonly channel: number;
  readonly fromRow: number;
  readonly toRow: number;
  /** Added to the channel, in its own units. */
  readonly offset: number;
}

export const FIXTURE_CHANNELS = ['pressure', 'flow', 'current', 'temperature'];

/**
 * Samples of a made-up pump at 1 Hz: load wanders slowly, pressure, flow and current follow it, temperature lags behind,
 * each with its own noise. Rows of a fault are labelled.
 */
export function machineRecording(
  rows: number,
  seed: number,
  faults: readonly FixtureFault[] = [],
): Recording & { readonly labels: Uint8Array } {
  const random = seededRandom(seed);
  const gauss = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const width = FIXTURE_CHANNELS.length;
  const values = new Float32Array(rows * width);
  const labels = new Uint8Array(rows);
  let load = 0;
  let heat = 0;
  for (let row = 0; row < rows; row += 1) {
    load = 0.9 * load + 0.4 * gauss();
    heat = 0.97 * heat + 0.03 * load;
    values.set(
      [
        5 + 0.5 * load + 0.1 * gauss(),
        120 + 8 * load + 2 * gauss(),
        1.8 + 0.2 * load + 0.02 * gauss(),
        60 + 4 * heat + 0.2 * gauss(),
      ],
      row * width,
    );
    for (const { channel, fromRow, toRow, offset } of faults) {
      if (row < fromRow || row >= toRow) continue;
      values[row * width + channel]! += offset;
      labels[row] = 1;
    }
  }
  return { channels: FIXTURE_CHANNELS, rows, values, labels };
}

export const FIXTURE_SHAPE = { window: 8, stride: 1, rateHz: 1, maxGapMs: 10_000 };
