import { encodeModel } from '@drover/onnx';
import type { TrainedDetector } from '../detector.ts';
import { scoreRecording } from '../evaluation/score-recording.ts';
import type { Recording } from '../window-set.ts';

/** What detectors of smoothed channels compute, one sample after another and in double precision, written from their definition. */
export class OnlineMeans {
  readonly #rates: readonly number[];
  #means: number[] | null = null;

  constructor(rates: readonly number[]) {
    this.#rates = rates;
  }

  /** @returns the means of all channels by the first rate, then by the next */
  next(scaled: readonly number[]): number[] {
    const inputs = this.#rates.flatMap((rate) => scaled.map((value) => ({ rate, value })));
    const before = this.#means;
    this.#means = inputs.map(({ rate, value }, i) =>
      before === null ? clip(value, 20) : before[i]! + rate * clip(value - before[i]!, 20),
    );
    return this.#means;
  }
}

export function clip(value: number, limit: number): number {
  return Math.min(limit, Math.max(-limit, value));
}

/** y = clip(e · inverse, ±limit) · root */
export function whitened(
  e: readonly number[],
  { inverse, root, limit }: { inverse: Float64Array; root: Float64Array; limit: number },
): number[] {
  return e.map((_, j) =>
    e.reduce((sum, value, i) => sum + clip(value * inverse[i]!, limit) * root[i * e.length + j]!, 0),
  );
}

export function rowOf({ values, channels }: Recording, row: number): number[] {
  return [...values.subarray(row * channels.length, (row + 1) * channels.length)];
}

/** Scores by ONNX Runtime, in order, with state, as a device computes them. */
export async function streamedScores(detector: TrainedDetector, recording: Recording): Promise<number[]> {
  const { scores } = await scoreRecording(encodeModel(detector.graph), recording, {
    ...detector.shape,
    stateReset: detector.stateReset,
  });
  return [...scores];
}

/** Share of the scores, from one row on, at or over the detector's threshold. */
export function shareOver(detector: TrainedDetector, scores: readonly number[]): number {
  const { policy } = detector;
  const threshold = policy.kind === 'threshold' ? policy.threshold : Number.NaN;
  return scores.filter((score) => score >= threshold).length / scores.length;
}
