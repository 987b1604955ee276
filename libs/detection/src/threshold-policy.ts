import type { Decision, DecisionPolicy } from './decision.ts';

/** An alarm starts at `threshold`, ends under `threshold × releaseRatio`, and counts once `minLength` windows were over. */
export interface ThresholdPolicySpec {
  readonly kind: 'threshold';
  /** Positive, in the score's unit. */
  readonly threshold: number;
  /** In (0, 1]; 1 is no hysteresis. */
  readonly releaseRatio: number;
  /** Consecutive windows over the threshold, at least 1. */
  readonly minLength: number;
}

export interface ThresholdPolicyState {
  readonly kind: 'threshold';
  readonly active: boolean;
  /** Consecutive windows over the threshold before an alarm. */
  readonly run: number;
}

/** Compares the largest signal with a fixed threshold, with hysteresis and a minimum length. */
export class ThresholdPolicy implements DecisionPolicy<ThresholdPolicyState> {
  readonly #spec: ThresholdPolicySpec;
  readonly #decision: Decision;
  #active: boolean;
  #run: number;

  constructor(spec: ThresholdPolicySpec, state?: ThresholdPolicyState) {
    this.#spec = spec;
    this.#active = state?.active ?? false;
    this.#run = state?.run ?? 0;
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
    const { threshold, releaseRatio, minLength } = this.#spec;
    let compared = signals[0]!;
    for (let i = 1; i < signals.length; i += 1) if (signals[i]! > compared) compared = signals[i]!;
    const over = compared >= threshold;
    const decision = this.#decision;
    decision.onset = false;
    decision.released = false;
    if (this.#active) {
      if (compared < threshold * releaseRatio) {
        this.#active = false;
        decision.released = true;
      }
      this.#run = 0;
    } else {
      this.#run = over ? this.#run + 1 : 0;
      if (this.#run >= minLength) {
        this.#active = true;
        this.#run = 0;
        decision.onset = true;
      }
    }
    decision.compared = compared;
    decision.over = over;
    decision.active = this.#active;
    return decision;
  }

  interrupt(): void {
    this.#active = false;
    this.#run = 0;
  }

  exportState(): ThresholdPolicyState {
    return { kind: 'threshold', active: this.#active, run: this.#run };
  }
}
