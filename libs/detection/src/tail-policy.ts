import type { Decision, DecisionPolicy } from './decision.ts';
import { TailHistory } from './tail-history.ts';
import type { HistoryState, HistorySummary } from './tail-history.ts';

/**
 * How unusual each signal is, measured against its own history: evidence = −log₁₀ of the probability of a value so far out,
 * and an alarm where the mean over the signals reaches the threshold. An alarm raises the bar for a while.
 */
export interface TailPolicySpec {
  readonly kind: 'tail';
  /** Mean evidence of an alarm: 2 is about one row in a hundred, if all signals said the same. */
  readonly threshold: number;
  /** Share of the history on each side that probabilities are extrapolated from, exponentially. */
  readonly tailShare: number;
  /** Most evidence that one signal gives, so that none decides for all. */
  readonly cap: number;
  /** For this share of the rows seen, what follows an alarm has to be clearly higher to be one. */
  readonly refractoryShare: number;
  /** What clearly higher means, at least 1. */
  readonly clearRatio: number;
  /** Rows that a history goes back; older ones fade. */
  readonly horizonRows: number;
  /** Per signal: whether small values are unusual as well. A signal that is not named: `both`. */
  readonly sides?: readonly ('both' | 'upper')[] | undefined;
  /** Per signal: its values in normal operation. A signal without starts with no history. */
  readonly prior?: readonly HistorySummary[] | undefined;
}

export interface TailPolicyState {
  readonly kind: 'tail';
  readonly active: boolean;
  /** Rows seen, those of the prior included. */
  readonly rows: number;
  /** Evidence of the alarm that raised the bar; 0: it is not raised. */
  readonly peak: number;
  /** The row that lowers it again. */
  readonly untilRow: number;
  /** One per signal; empty before the first decision. */
  readonly histories: readonly HistoryState[];
}

/**
 * Decides on running tail probabilities. What is compared with the threshold is the mean evidence; while the bar is raised
 * and not cleared, it is scaled to stay under half of the threshold, in proportion to how near it comes to clearing the
 * bar. So one event is one alarm, however long it lasts, and the compared value says by itself what an alarm is.
 *
 * A gap ends an alarm, but neither the histories nor the raised bar: a new segment does not make what was usual unusual.
 */
export class TailPolicy implements DecisionPolicy<TailPolicyState> {
  readonly #spec: TailPolicySpec;
  readonly #decision: Decision;
  #histories: TailHistory[];
  #active: boolean;
  #rows: number;
  #peak: number;
  #untilRow: number;

  constructor(spec: TailPolicySpec, state?: TailPolicyState) {
    this.#spec = spec;
    this.#histories = (state?.histories ?? []).map((history) => new TailHistory(spec, history));
    this.#active = state?.active ?? false;
    this.#rows = state?.rows ?? (spec.prior?.[0]?.weights ?? []).reduce((sum, weight) => sum + weight, 0);
    this.#peak = state?.peak ?? 0;
    this.#untilRow = state?.untilRow ?? 0;
    this.#decision = {
      compared: 0,
      threshold: spec.threshold,
      over: false,
      active: this.#active,
      onset: false,
      released: false,
    };
  }

  decide(signals: ArrayLike<number>): Decision {
    const { threshold } = this.#spec;
    const compared = this.#underBar(this.#evidence(signals));
    const over = compared >= threshold;
    const decision = this.#decision;
    decision.compared = compared;
    decision.over = over;
    decision.onset = over && !this.#active;
    decision.released = !over && this.#active;
    decision.active = over;
    this.#active = over;
    return decision;
  }

  interrupt(): void {
    this.#active = false;
  }

  exportState(): TailPolicyState {
    return {
      kind: 'tail',
      active: this.#active,
      rows: this.#rows,
      peak: this.#peak,
      untilRow: this.#untilRow,
      histories: this.#histories.map((history) => history.exportState()),
    };
  }

  /** Mean over the signals; each then becomes part of its history. */
  #evidence(signals: ArrayLike<number>): number {
    const { cap, sides, prior } = this.#spec;
    // A history of other signals says nothing about these.
    if (this.#histories.length !== signals.length) {
      this.#histories = Array.from({ length: signals.length }, (_, s) => new TailHistory(this.#spec, prior?.[s]));
    }
    let sum = 0;
    for (let s = 0; s < signals.length; s += 1) {
      const history = this.#histories[s]!;
      const value = signals[s]!;
      const upper = history.upperTail(value);
      const probability = sides?.[s] === 'upper' ? upper : 2 * Math.min(upper, history.lowerTail(value));
      // Rounding can make a probability 0; the cap holds then.
      if (probability < 1) sum += Math.min(cap, -Math.log10(probability));
      history.add(value);
    }
    return sum / signals.length;
  }

  #underBar(evidence: number): number {
    const { threshold, clearRatio, refractoryShare, horizonRows } = this.#spec;
    this.#rows += 1;
    if (this.#rows >= this.#untilRow) this.#peak = 0;
    const bar = this.#peak * clearRatio;
    if (evidence > bar) {
      if (evidence < threshold) return evidence;
      this.#peak = evidence;
      this.#untilRow = this.#rows + refractoryShare * Math.min(this.#rows, horizonRows);
      return evidence;
    }
    return bar === 0 ? evidence : Math.min(evidence, ((threshold / 2) * evidence) / bar);
  }
}
