import { Resampler, WindowBuilder, needsResampling, windowSpecOf } from '@drover/detection';
import type { DetectorSignature, WindowStep } from '@drover/detection';
import type { DetectorSession } from './detector-session.ts';
import { SignatureMismatchError } from './errors.ts';

export interface IntakeOptions {
  readonly signature: DetectorSignature;
  /** Whether the graph takes a mask. */
  readonly masked: boolean;
  /** Names of the values in a sample, in their order. */
  readonly sourceChannels: readonly string[];
  /** Where known and clearly above the signature's rate, samples are thinned out as the channels ask. */
  readonly sourceRateHz?: number | undefined;
  /** Time of the last sample of an earlier intake that this one goes on from; NaN: none. */
  readonly lastTimeMs?: number;
}

/** The first half of a detector's way: samples of a source become windows of a model. */
export class SampleIntake {
  readonly #builder: WindowBuilder;
  readonly #resampler: Resampler | undefined;
  readonly #signature: DetectorSignature;
  /** Where each of the model's channels is in a sample. */
  readonly #columns: Int32Array;
  readonly #row: Float64Array;
  #restoredTimeMs: number;
  #restarted = false;
  #interrupted = false;

  /** @throws SignatureMismatchError when the samples lack a channel of the model */
  constructor({ signature, masked, sourceChannels, sourceRateHz, lastTimeMs }: IntakeOptions) {
    this.#signature = signature;
    this.#columns = columnsOf(signature, sourceChannels);
    this.#row = new Float64Array(signature.channels.length);
    this.#builder = new WindowBuilder(windowSpecOf(signature, masked));
    this.#resampler =
      sourceRateHz !== undefined && needsResampling(sourceRateHz, signature.rateHz)
        ? new Resampler({
            resampling: signature.channels.map(({ resampling }) => resampling),
            sourceRateHz,
            rateHz: signature.rateHz,
          })
        : undefined;
    this.#restoredTimeMs = lastTimeMs ?? Number.NaN;
  }

  /** The sample just accepted did not continue what this intake had seen before. */
  get restarted(): boolean {
    return this.#restarted;
  }
  /** The same, or it did not continue what an earlier intake had seen last. */
  get interrupted(): boolean {
    return this.#interrupted;
  }
  /** Time of the newest sample in the window, milliseconds; NaN before the first. */
  get lastTimeMs(): number {
    return this.#builder.lastTimeMs;
  }
  get counters(): WindowBuilder['counters'] {
    return this.#builder.counters;
  }
  /** Rows of the source that fill the window and outlast the warm-up. */
  get refillRows(): number {
    const { window, stride, warmup } = this.#signature;
    return Math.ceil((window + stride * warmup) * (this.#resampler?.ratio ?? 1));
  }

  /** @param values one per source channel, from `offset` on */
  accept(timeMs: number, values: ArrayLike<number>, offset: number): WindowStep {
    const columns = this.#columns;
    const row = this.#row;
    for (let c = 0; c < columns.length; c += 1) row[c] = values[offset + columns[c]!]!;
    const resampler = this.#resampler;
    if (resampler === undefined) return this.#push(timeMs, row);
    if (resampler.push(timeMs, row)) return this.#push(resampler.timeMs, resampler.values);
    this.#restarted = false;
    this.#interrupted = false;
    return 'none';
  }

  /** Copies the window that `accept` announced, and what else the graph takes of it, to the session's place `slot`. */
  copyTo({ window, mask, time, batch }: DetectorSession, slot = 0): void {
    this.#builder.copyWindow(window, (slot * window.length) / batch);
    if (mask !== undefined) this.#builder.copyMask(mask, (slot * mask.length) / batch);
    if (time !== undefined) this.#builder.copyTimes(time, (slot * time.length) / batch);
  }

  #push(timeMs: number, row: ArrayLike<number>): WindowStep {
    const step = this.#builder.push(timeMs, row);
    // NaN compares as no gap.
    const late = Math.abs(timeMs - this.#restoredTimeMs) > this.#signature.maxGapMs;
    this.#restoredTimeMs = Number.NaN;
    this.#restarted = this.#builder.restarted;
    this.#interrupted = this.#restarted || late;
    return step;
  }
}

function columnsOf(signature: DetectorSignature, source: readonly string[]): Int32Array {
  const missing = signature.channels.filter(({ name }) => !source.includes(name)).map(({ name }) => name);
  if (missing.length > 0) {
    throw new SignatureMismatchError(`The samples have no channel ${missing.map((name) => `"${name}"`).join(', ')}`, {
      problems: missing.map((name) => ({ path: `channels.${name}`, message: 'is not in the samples' })),
    });
  }
  return Int32Array.from(signature.channels, ({ name }) => source.indexOf(name));
}
