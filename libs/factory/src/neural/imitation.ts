import type { TrainingContext } from '../detector.ts';
import { injectFaults } from '../evaluation/synthetic-faults.ts';
import type { Layer } from '../network.ts';
import type { WindowSet } from '../window-set.ts';
import { ERROR_TERMS, errorTerms, newerHalf } from './error-terms.ts';
import { fitNetwork, runNetwork } from './fit-network.ts';
import type { FitOptions, Fitted, Samples } from './fit-network.ts';
import type { BatchSlice, Objective } from './objective.ts';

/** What one network learns from another. */
export interface Lesson {
  readonly shape: { readonly window: number; readonly channels: number };
  /** Weights of the error terms that make the teacher's score, `[ERROR_TERMS × C]`. */
  readonly weights: Float64Array;
  /** Deviations at which values are cut off. */
  readonly limit: number;
  /** Share of the teacher's output in the target for normal windows; the rest is the window itself. */
  readonly teacherShare: number;
  /**
   * Share of what the teacher says of the window without its fault in the target for a faulty one; the rest is what it says
   * of the faulty one. Reconstructing what should have been there makes faults stand out.
   */
  readonly healedShare: number;
  /** How much a wrong score counts beside a wrong reconstruction. */
  readonly scoreShare: number;
}

/** Size of the synthetic faults that the teacher is asked about, in deviations: from what it hardly sees to what is certain. */
const FAULTS = { smallest: 0.5, largest: 5 };

/**
 * Trains layers on what a teacher makes of normal windows and of windows with synthetic faults: on its reconstructions, and on
 * its scores. The teacher alone knows what a fault looks like to it; from normal windows a small network would not learn that.
 */
export function imitate(
  layers: readonly Layer[],
  teacher: readonly Layer[],
  samples: Samples,
  lesson: Lesson,
  options: FitOptions,
  random: () => number,
  context: Pick<TrainingContext, 'signal' | 'onProgress'>,
): Promise<Fitted> {
  const { inputs, size } = samples;
  const { shape, limit, teacherShare, healedShare } = lesson;
  const count = inputs.length / size;
  const clean: WindowSet = { data: inputs, count, ...shape, overlap: 0 };
  const faulty = injectFaults(clean, random, FAULTS).data.map((value) => Math.min(limit, Math.max(-limit, value)));
  const both = new Float32Array(2 * inputs.length);
  both.set(inputs);
  both.set(faulty, inputs.length);
  const targets = runNetwork(teacher, both, size);
  const scores = squaredScores(errorTerms(both, targets, shape), lesson.weights);
  for (let i = 0; i < inputs.length; i += 1) {
    const at = inputs.length + i;
    targets[at] = healedShare * targets[i]! + (1 - healedShare) * targets[at]!;
    targets[i] = teacherShare * targets[i]! + (1 - teacherShare) * inputs[i]!;
  }
  const twice = (indices: Int32Array): Int32Array => Int32Array.from([...indices, ...indices.map((n) => n + count)]);
  return fitNetwork(
    layers,
    { inputs: both, size, train: twice(samples.train), validation: twice(samples.validation) },
    new Imitation(both, targets, scores, lesson),
    options,
    random,
    context,
  );
}

function squaredScores(terms: Float64Array, weights: Float64Array): Float64Array {
  return new Float64Array(terms.length / weights.length).map((_, n) =>
    weights.reduce((sum, weight, i) => sum + weight * terms[n * weights.length + i]!, 0),
  );
}

/**
 * Squared difference from the target's reconstruction, and of the squared score from the teacher's relative to it. The
 * score's weights are such that its square is 1 on average, so the second part is of the size of the first.
 */
export class Imitation implements Objective {
  readonly #inputs: Float32Array;
  readonly #targets: Float32Array;
  readonly #scores: Float64Array;
  readonly #lesson: Lesson;
  /** Sums over the window and over its newer half, per channel. */
  readonly #means: Float64Array;
  readonly #newer: Float64Array;

  constructor(inputs: Float32Array, targets: Float32Array, scores: Float64Array, lesson: Lesson) {
    this.#inputs = inputs;
    this.#targets = targets;
    this.#scores = scores;
    this.#lesson = lesson;
    this.#means = new Float64Array(lesson.shape.channels);
    this.#newer = new Float64Array(lesson.shape.channels);
  }

  evaluate({ indices, from, count }: BatchSlice, outputs: Float32Array, gradients: Float32Array | null): number {
    const { window, channels } = this.#lesson.shape;
    const size = window * channels;
    let loss = 0;
    for (let n = 0; n < count; n += 1) {
      const index = indices[from + n]!;
      const source = index * size;
      const at = n * size;
      const teacher = this.#scores[index]!;
      const off = (this.#squaredScore(outputs, at, source) - teacher) / (1 + teacher);
      let squares = 0;
      for (let i = 0; i < size; i += 1) squares += (outputs[at + i]! - this.#targets[source + i]!) ** 2;
      loss += squares / size + this.#lesson.scoreShare * off * off;
      if (gradients === null) continue;
      const slope = (2 * this.#lesson.scoreShare * off) / (1 + teacher);
      this.#writeGradients(gradients, outputs, at, source, slope, count);
    }
    return loss;
  }

  /** As `errorTerms` and its weights; leaves the means behind. */
  #squaredScore(outputs: Float32Array, at: number, source: number): number {
    const { shape, weights } = this.#lesson;
    const { window, channels } = shape;
    const half = newerHalf(window);
    this.#means.fill(0);
    this.#newer.fill(0);
    let score = 0;
    for (let t = 0, i = 0; t < window; t += 1) {
      for (let c = 0; c < channels; c += 1, i += 1) {
        const difference = outputs[at + i]! - this.#inputs[source + i]!;
        score += (weights[c]! * difference * difference) / window;
        this.#means[c]! += difference / window;
        if (t >= half) this.#newer[c]! += difference / (window - half);
      }
    }
    for (let c = 0; c < channels; c += 1) {
      score += weights[channels + c]! * this.#means[c]! ** 2 + weights[2 * channels + c]! * this.#newer[c]! ** 2;
    }
    return score;
  }

  #writeGradients(
    gradients: Float32Array,
    outputs: Float32Array,
    at: number,
    source: number,
    slope: number,
    count: number,
  ): void {
    const { shape, weights } = this.#lesson;
    const { window, channels } = shape;
    const half = newerHalf(window);
    for (let t = 0, i = 0; t < window; t += 1) {
      for (let c = 0; c < channels; c += 1, i += 1) {
        const output = outputs[at + i]!;
        let score =
          (weights[c]! * (output - this.#inputs[source + i]!) + weights[channels + c]! * this.#means[c]!) / window;
        if (t >= half) score += (weights[2 * channels + c]! * this.#newer[c]!) / (window - half);
        const target = (output - this.#targets[source + i]!) / (window * channels);
        gradients[at + i] = (2 * (target + slope * score)) / count;
      }
    }
  }
}

/** Weights for the squared score of a teacher, whose mean on the windows they were made for is 1. */
export function lessonWeights(terms: Float64Array, weights: Float64Array, normal: readonly boolean[]): Float64Array {
  const squares = squaredScores(terms, weights).filter((_, n) => normal[n]);
  const mean = squares.reduce((sum, value) => sum + value, 0) / squares.length;
  return mean > 0 ? weights.map((weight) => weight / mean) : weights;
}

/** Terms of all windows as the folds of a network see those that they were trained without. */
export function heldOutTerms(
  folds: readonly (readonly Layer[])[],
  z: Float32Array,
  shape: { readonly window: number; readonly channels: number },
): Float64Array {
  const size = shape.window * shape.channels;
  const count = z.length / size;
  const terms = new Float64Array(count * ERROR_TERMS * shape.channels);
  for (const [k, layers] of folds.entries()) {
    const from = Math.floor((k * count) / folds.length);
    const block = z.subarray(from * size, Math.floor(((k + 1) * count) / folds.length) * size);
    terms.set(errorTerms(block, runNetwork(layers, block, size), shape), from * ERROR_TERMS * shape.channels);
  }
  return terms;
}
