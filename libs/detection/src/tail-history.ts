/** A distribution in few numbers: ascending values, each with the number of rows it stands for. */
export interface HistorySummary {
  readonly values: readonly number[];
  /** Positive, one per value. */
  readonly weights: readonly number[];
}

/** Plain JSON, to persist and to bring back. */
export interface HistoryState extends HistorySummary {
  /** Values that came since the summary was made, in their order. */
  readonly pending: readonly number[];
}

export interface HistoryOptions {
  /** Share of the rows on each side that the extrapolation is fitted to, in (0, 0.5). */
  readonly tailShare: number;
  /** Rows after which older ones fade: the weight of all together never exceeds it. */
  readonly horizonRows: number;
}

/** Rows that are gathered before they become a part of the summary. */
const PENDING = 32;
/** Larger is finer: a value in the middle of the distribution stands for at most this part of all rows, at the ends for one. */
const FINENESS = 50;
/** A distribution of fewer rows says nothing. */
const FEWEST_ROWS = 20;
const FEWEST_TAIL_ROWS = 5;

/** Where the extrapolation starts on one side, how far the rows beyond lie from there on average, and their share. */
interface Tail {
  readonly from: number;
  readonly meanExcess: number;
  readonly share: number;
}

/**
 * The distribution of a signal over all rows seen, in bounded memory: at most some 300 values with weights, fine at both ends,
 * coarse in the middle (a merging t-digest, but equal values are always one, so that a signal of few levels keeps them).
 * Beyond the outermost rows the probability falls exponentially, at the rate of those rows.
 *
 * INVARIANTS
 * - All that is asked for derives from `#values` and `#weights` alone, by sums in one order: a summary that was exported and
 *   brought back gives the same bits.
 * - A row becomes part of the summary when its batch is full, up to 31 rows late. So asking costs O(log n), and what is
 *   unusual does not make itself usual at once.
 *
 * Source: T. Dunning & O. Ertl, "Computing extremely accurate quantiles using t-digests", 2019; the exponential tail is the
 * peaks-over-threshold method with shape 0 (Pickands, 1975).
 */
export class TailHistory {
  readonly #options: HistoryOptions;
  #values: Float64Array;
  #weights: Float64Array;
  /** Rows in all values before an index; one longer than the values. */
  #before = new Float64Array(1);
  readonly #pending = new Float64Array(PENDING);
  #pendingCount = 0;
  #upper: Tail = { from: 0, meanExcess: 0, share: 0 };
  #lower: Tail = { from: 0, meanExcess: 0, share: 0 };

  constructor(options: HistoryOptions, start: HistorySummary | HistoryState = { values: [], weights: [] }) {
    this.#options = options;
    this.#values = Float64Array.from(start.values);
    this.#weights = Float64Array.from(start.weights);
    const pending = 'pending' in start ? start.pending : [];
    for (const value of pending.slice(0, PENDING - 1)) this.#pending[this.#pendingCount++] = value;
    this.#derive();
  }

  /** Rows in the summary. */
  get rows(): number {
    return this.#before[this.#values.length]!;
  }

  /** Whether there were enough rows to say anything. */
  get ready(): boolean {
    return this.rows >= FEWEST_ROWS;
  }

  add(value: number): void {
    this.#pending[this.#pendingCount++] = value;
    if (this.#pendingCount === PENDING) this.#merge();
  }

  /** Probability of a value at least this large, from 0 to 1; never more for a larger value. 1 before there are enough rows. */
  upperTail(value: number): number {
    if (!this.ready) return 1;
    return tailOf(this.#upper, value - this.#upper.from) ?? 1 - this.#before[this.#first(value, false)]! / this.rows;
  }

  /** Probability of a value at most this large, in (0, 1]. */
  lowerTail(value: number): number {
    if (!this.ready) return 1;
    return tailOf(this.#lower, this.#lower.from - value) ?? this.#before[this.#first(value, true)]! / this.rows;
  }

  /** All rows so far, in few numbers. */
  summarise(): HistorySummary {
    this.#merge();
    return { values: [...this.#values], weights: [...this.#weights] };
  }

  exportState(): HistoryState {
    return {
      values: [...this.#values],
      weights: [...this.#weights],
      pending: [...this.#pending.subarray(0, this.#pendingCount)],
    };
  }

  /** Index of the first value that is not below, or (strictly) above, this one. */
  #first(value: number, above: boolean): number {
    let low = 0;
    let high = this.#values.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = this.#values[middle]!;
      if (at < value || (above && at === value)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The pending rows become a part of the summary; neighbours are taken together as far as their place allows. */
  #merge(): void {
    const fresh = this.#pending.subarray(0, this.#pendingCount).toSorted();
    const total = this.rows + fresh.length;
    const fade = Math.min(1, this.#options.horizonRows / total);
    const kept = total * fade;
    const length = this.#values.length;
    const values: number[] = [];
    const weights: number[] = [];
    let passed = 0;
    for (let old = 0, next = 0; old < length || next < fresh.length;) {
      const takeOld = old < length && (next === fresh.length || this.#values[old]! <= fresh[next]!);
      const value = takeOld ? this.#values[old]! : fresh[next]!;
      const weight = fade * (takeOld ? this.#weights[old]! : 1);
      if (takeOld) old += 1;
      else next += 1;
      const last = values.length - 1;
      const both = last < 0 ? 0 : weights[last]! + weight;
      if (last >= 0 && (values[last] === value || both <= mostAt((passed + both / 2) / kept, kept))) {
        if (values[last] !== value) values[last]! += ((value - values[last]!) * weight) / both;
        weights[last] = both;
        continue;
      }
      if (last >= 0) passed += weights[last]!;
      values.push(value);
      weights.push(weight);
    }
    this.#values = Float64Array.from(values);
    this.#weights = Float64Array.from(weights);
    this.#pendingCount = 0;
    this.#derive();
  }

  #derive(): void {
    const length = this.#values.length;
    this.#before = new Float64Array(length + 1);
    for (let i = 0; i < length; i += 1) this.#before[i + 1] = this.#before[i]! + this.#weights[i]!;
    if (!this.ready) return;
    this.#upper = this.#fit((i) => length - 1 - i);
    this.#lower = this.#fit((i) => i);
  }

  /** @param at the i-th outermost value's index */
  #fit(at: (i: number) => number): Tail {
    const rows = this.rows;
    const wanted = Math.min(rows / 2, Math.max(FEWEST_TAIL_ROWS, this.#options.tailShare * rows));
    let outermost = 0;
    for (let weight = 0; outermost < this.#values.length; outermost += 1) {
      weight += this.#weights[at(outermost)]!;
      if (weight >= wanted) break;
    }
    const from = this.#values[at(Math.min(outermost, this.#values.length - 1))]!;
    let excess = 0;
    for (let i = 0; i < outermost; i += 1) excess += this.#weights[at(i)]! * Math.abs(this.#values[at(i)]! - from);
    // Where the outermost rows are all equal, nothing says how far others may lie: not less than rounding.
    const spread = this.#values[this.#values.length - 1]! - this.#values[0]!;
    const least = 1e-3 * spread + 1e-6 * Math.abs(from) + 1e-12;
    return { from, meanExcess: Math.max(excess / wanted, least), share: wanted / rows };
  }
}

/** Undefined where the value is not beyond the tail's start. */
function tailOf({ meanExcess, share }: Tail, beyond: number): number | undefined {
  return beyond > 0 ? share * Math.exp(-beyond / meanExcess) : undefined;
}

/** Rows that one value of the summary may stand for at a quantile. */
function mostAt(quantile: number, rows: number): number {
  return (4 * rows * quantile * (1 - quantile)) / FINENESS;
}
