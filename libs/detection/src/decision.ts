/** What a policy says of one window. Policies reuse one object: read it before the next `decide`. */
export interface Decision {
  /** The value that is compared with `threshold`. */
  compared: number;
  threshold: number;
  /** `compared` reached the threshold, whether or not that is an alarm yet. */
  over: boolean;
  /** An alarm is on. */
  active: boolean;
  /** The alarm begins with this window. */
  onset: boolean;
  /** The alarm ended with this window. */
  released: boolean;
}

/** Turns a detector's signals into decisions, window by window; never looks ahead. */
export interface DecisionPolicy<State> {
  /** @param signals S finite values */
  decide(signals: ArrayLike<number>): Decision;
  /** Ends an alarm without a decision and forgets runs in progress: after a gap, nothing before it counts. */
  interrupt(): void;
  /** The policy's memory: plain JSON, to persist and to bring back. */
  exportState(): State;
}
