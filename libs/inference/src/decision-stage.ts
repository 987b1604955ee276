import { AnomalyTracker, createPolicy } from '@drover/detection';
import type {
  AnomalyUpdate,
  AnyPolicy,
  CloseReason,
  Decision,
  DetectorSignature,
  PolicySpec,
  PolicyState,
  TrackerState,
  WindowStep,
} from '@drover/detection';

/** What a path reports while it runs. */
export interface PathListener {
  onAnomaly(update: AnomalyUpdate): void;
  /** A window was decided on. The arguments are reused: copy what you keep. */
  onDecision?(timeMs: number, decision: Readonly<Decision>, contributions: Float32Array): void;
  /** A run failed or gave a score that is no number; once until it works again. */
  onFault?(fault: PathFault): void;
}

export interface PathFault {
  readonly code: 'score-invalid' | 'run-failed';
  readonly message: string;
  readonly timeMs: number;
}

export interface StageOptions {
  readonly signature: DetectorSignature;
  readonly policy: PolicySpec;
  readonly newId: () => string;
  readonly revisionIntervalMs?: number | undefined;
  readonly state?: { readonly lastTimeMs: number | null; readonly policy: PolicyState; readonly tracker: TrackerState };
  readonly listener: PathListener;
}

/** The second half of a detector's way: what the model says of a window becomes a decision and an anomaly. */
export class DecisionStage {
  readonly #policy: AnyPolicy;
  readonly #tracker: AnomalyTracker;
  readonly #listener: PathListener;
  readonly #maxGapMs: number;
  #lastValidMs: number;
  #faulty = false;
  #windows = 0;
  #invalidScores = 0;
  #failedRuns = 0;

  constructor({ signature, policy, newId, revisionIntervalMs, state, listener }: StageOptions) {
    this.#listener = listener;
    this.#maxGapMs = signature.maxGapMs;
    this.#policy = createPolicy(policy, state?.policy);
    this.#tracker = new AnomalyTracker({
      channels: signature.channels.map(({ name }) => name),
      newId,
      ...(revisionIntervalMs === undefined ? {} : { revisionIntervalMs }),
      ...(state === undefined ? {} : { state: state.tracker }),
    });
    this.#lastValidMs = state?.lastTimeMs ?? Number.NaN;
  }

  /** Windows that were decided on, and those that could not be. */
  get counters(): { windows: number; invalidScores: number; failedRuns: number } {
    return { windows: this.#windows, invalidScores: this.#invalidScores, failedRuns: this.#failedRuns };
  }

  /**
   * Takes what the model said of a window.
   *
   * @param step `warming`: nothing is decided
   * @param score S signals
   * @param contributions C values
   * @returns false where a signal is no number: the detector's state holds one, too, and has to start anew
   */
  take(step: WindowStep, timeMs: number, score: Float32Array, contributions: Float32Array): boolean {
    for (let s = 0; s < score.length; s += 1) {
      if (Number.isFinite(score[s])) continue;
      this.#invalidScores += 1;
      this.#fail({ code: 'score-invalid', message: `Signal ${s} is ${score[s]}`, timeMs });
      return false;
    }
    this.#faulty = false;
    this.#lastValidMs = timeMs;
    if (step !== 'ready') return true;
    const decision = this.#policy.decide(score);
    this.#windows += 1;
    this.#listener.onDecision?.(timeMs, decision, contributions);
    this.#tell(this.#tracker.observe(decision, timeMs, contributions));
    return true;
  }

  /** The model did not run on the window of this time. */
  takeFailure(timeMs: number, error: unknown): void {
    this.#failedRuns += 1;
    this.#fail({ code: 'run-failed', message: error instanceof Error ? error.message : String(error), timeMs });
  }

  /** Closes what is open: what was before does not belong to what comes now, or nothing comes any more. */
  close(reason: CloseReason): void {
    this.#policy.interrupt();
    this.#tell(this.#tracker.close(reason));
  }

  exportState(): { policy: PolicyState; tracker: TrackerState } {
    return { policy: this.#policy.exportState(), tracker: this.#tracker.exportState() };
  }

  /** A fault is no anomaly and ends none at once; a lasting one does, because nobody sees whether it goes on. */
  #fail(fault: PathFault): void {
    if (fault.timeMs - this.#lastValidMs > this.#maxGapMs) this.close('gap');
    if (!this.#faulty) this.#listener.onFault?.(fault);
    this.#faulty = true;
  }

  #tell(update: AnomalyUpdate | undefined): void {
    if (update !== undefined) this.#listener.onAnomaly(update);
  }
}
