import type { TrainingContext } from '../detector.ts';
import type { Layer, Network } from '../network.ts';
import type { Normaliser } from '../pca/pca-model.ts';
import { quantile } from '../quantile.ts';
import { seededRandom } from '../random.ts';
import type { WindowSet } from '../window-set.ts';
import { ERROR_TERMS, errorTerms } from './error-terms.ts';
import { runNetwork } from './fit-network.ts';
import type { Fitted, Samples } from './fit-network.ts';

/** Which of the networks is to be fitted: the one without the k-th block of time, or the one that is used in the end. */
export type FoldIndex = number | 'all';

/** One way of coming to a network. @param stopAfter epochs that were enough for the folds; for the network of all windows */
export type FitPart = (
  part: { readonly fold: FoldIndex; readonly stopAfter?: number },
  samples: Samples,
  context: Pick<TrainingContext, 'signal' | 'onProgress'>,
) => Promise<Fitted>;

export interface FoldFit {
  readonly folds: readonly (readonly Layer[])[];
  /** `[N, ERROR_TERMS × C]`: of each window by the network that did not see it. */
  readonly terms: Float64Array;
  /** Median over the folds. */
  readonly epochs: number;
  /** Mean over the folds, each on its own block. */
  readonly loss: number;
}

export interface CrossFit extends FoldFit {
  readonly layers: readonly Layer[];
}

/** A piece of a longer training, of which it is the share from `from` to `to`. */
export function partOf({ signal, onProgress }: TrainingContext, from: number, to: number) {
  return {
    signal,
    onProgress: (fraction: number, loss?: number): void => onProgress?.(from + fraction * (to - from), loss),
  };
}

/** z of windows, `[N, W × C]`. */
export function normalised({ data, channels }: WindowSet, normaliser: Normaliser): Float32Array {
  const { center, inverseDeviation, limit } = normaliser;
  return data.map((value, i) => {
    const c = i % channels;
    return Math.min(limit, Math.max(-limit, (value - center[c]!) * inverseDeviation[c]!));
  });
}

/**
 * Fits a network without each block of time (and the windows that overlap it), and measures the block with it: so drift
 * between blocks widens what counts as normal. The block also tells when to stop; normal windows only take part.
 */
export async function fitFolds(
  set: WindowSet,
  z: Float32Array,
  normal: readonly boolean[],
  count: number,
  fit: FitPart,
  context: TrainingContext,
): Promise<FoldFit> {
  const size = set.window * set.channels;
  const terms = new Float64Array(set.count * ERROR_TERMS * set.channels);
  const folds: Layer[][] = [];
  const epochs: number[] = [];
  let loss = 0;
  for (let fold = 0; fold < count; fold += 1) {
    const from = Math.floor((fold * set.count) / count);
    const to = Math.floor(((fold + 1) * set.count) / count);
    const train = indices(set, (n) => normal[n]! && (n < from - set.overlap || n >= to + set.overlap));
    const validation = indices(set, (n) => normal[n]! && n >= from && n < to);
    const samples = { inputs: z, size, train, validation };
    const fitted = await fit({ fold }, samples, partOf(context, fold / count, (fold + 1) / count));
    folds.push(fitted.layers);
    epochs.push(fitted.epochs);
    loss += fitted.loss / count;
    const block = z.subarray(from * size, to * size);
    terms.set(errorTerms(block, runNetwork(fitted.layers, block, size), set), from * ERROR_TERMS * set.channels);
  }
  return { folds, terms, epochs: Math.max(1, Math.round(quantile(epochs, 0.5))), loss };
}

/** The network of all normal windows, trained for as long as was right for the folds. */
export async function fitAll(
  set: WindowSet,
  z: Float32Array,
  normal: readonly boolean[],
  folds: FoldFit,
  fit: FitPart,
  context: TrainingContext,
): Promise<CrossFit> {
  const samples = {
    inputs: z,
    size: set.window * set.channels,
    train: indices(set, (n) => normal[n]!),
    validation: new Int32Array(0),
  };
  const { layers } = await fit({ fold: 'all', stopAfter: folds.epochs }, samples, context);
  return { ...folds, layers };
}

/** The layers of a network that belong to a fold. */
export function layersOf(network: Network, fold: FoldIndex): readonly Layer[] {
  return fold === 'all' ? network.layers : network.folds[fold]!;
}

/** Random numbers of their own for every network, so that one's length of training does not change the next. */
export function foldRandom(seed: number, fold: FoldIndex): () => number {
  const seeds = seededRandom(seed);
  let mixed = seeds();
  for (let skip = fold === 'all' ? 0 : fold + 1; skip > 0; skip -= 1) mixed = seeds();
  return seededRandom(mixed * 2 ** 32);
}

function indices({ count }: WindowSet, use: (n: number) => boolean): Int32Array {
  return Int32Array.from(Array.from({ length: count }, (_, n) => n).filter(use));
}
