import type { Recording } from '../window-set.ts';

export interface ReferenceScore {
  readonly score: number;
  readonly contributions: readonly number[];
}

/**
 * The shape detector once more, as simply as it can be said: lists of samples, every window compared with every other. Tests
 * compare the graph with it.
 */
export class ShapeReference {
  readonly #channels: number;
  readonly #span: number;
  readonly #memory: number;
  readonly #center: number[];
  readonly #deviation: number[];
  /** Pieces of training, each a list of samples. */
  readonly #pieces: number[][][];
  readonly #unit: number;
  #seen: number[][] = [];

  constructor(
    training: Recording,
    { stride }: { readonly stride: number },
    most: { readonly memory: number; readonly training: number },
  ) {
    const channels = training.channels.length;
    this.#channels = channels;
    this.#span = channels === 1 ? 16 : channels <= 8 ? 8 : 4;
    this.#memory = most.memory;
    const samples = samplesOf(training.values, channels);
    const scaled = samples.filter((_, row) => row % stride === 0);
    const columns = Array.from({ length: channels }, (_, c) => scaled.map((sample) => sample[c]!));
    this.#center = columns.map((column) => {
      const sorted = column.toSorted((a, b) => a - b);
      const middle = (sorted.length - 1) / 2;
      return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
    });
    this.#deviation = columns.map((column) => {
      const middle = mean(column);
      return Math.sqrt(mean(column.map((x) => (x - middle) ** 2)));
    });
    const normalised = samples.map((sample) => this.#normalise(sample));
    const length = Math.min(most.training, 8 * this.#span);
    const whole = Math.floor(samples.length / length);
    const count = Math.min(whole, Math.floor(most.training / length));
    this.#pieces = Array.from({ length: count }, (_, index) => {
      const start = Math.floor(((index + 0.5) * whole) / count) * length;
      return normalised.slice(start, start + length);
    });
    this.#unit = this.#unitOf();
  }

  /** @param values the samples of one window */
  next(values: Float32Array): ReferenceScore {
    this.#seen.push(...samplesOf(values, this.#channels).map((sample) => this.#normalise(sample)));
    this.#seen = this.#seen.slice(-this.#memory);
    const newest = this.#seen.slice(-this.#span);
    const past = windowsIn(this.#seen.slice(0, -this.#span), this.#span);
    let best: readonly number[] = [];
    let least = Infinity;
    for (const window of [...this.#pieces.flatMap((piece) => windowsIn(piece, this.#span)), ...past]) {
      const parts = distances(newest, window.slice(-newest.length));
      if (mean(parts) < least) {
        least = mean(parts);
        best = parts;
      }
    }
    return { score: Math.sqrt(least) / this.#unit, contributions: best };
  }

  #normalise(sample: readonly number[]): number[] {
    return sample.map((x, c) => Math.min(20, Math.max(-20, (x - this.#center[c]!) / this.#deviation[c]!)));
  }

  /** The 95 % quantile of the training windows' distances from each other. */
  #unitOf(): number {
    const windows = this.#pieces.flatMap((piece, p) =>
      windowsIn(piece, this.#span).map((window, at) => ({ window, start: p * piece.length + at })),
    );
    const nearest = windows.map((a) =>
      Math.sqrt(
        Math.min(
          ...windows
            .filter((b) => Math.abs(a.start - b.start) >= this.#span)
            .map((b) => mean(distances(a.window, b.window))),
        ),
      ),
    );
    const sorted = nearest.toSorted((a, b) => a - b);
    const at = 0.95 * (sorted.length - 1);
    const low = sorted[Math.floor(at)]!;
    return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at));
  }
}

function samplesOf(values: Float32Array, channels: number): number[][] {
  return Array.from({ length: values.length / channels }, (_, row) =>
    Array.from({ length: channels }, (_item, c) => values[row * channels + c]!),
  );
}

function windowsIn(samples: readonly number[][], span: number): number[][][] {
  return Array.from({ length: Math.max(0, samples.length - span + 1) }, (_, at) => samples.slice(at, at + span));
}

/** Per channel. */
function distances(a: readonly number[][], b: readonly number[][]): number[] {
  return a[0]!.map((_, c) => mean(a.map((sample, i) => (sample[c]! - b[i]![c]!) ** 2)));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}
