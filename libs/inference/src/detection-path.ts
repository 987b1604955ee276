import type {
  CloseReason,
  DetectorSignature,
  PolicySpec,
  PolicyState,
  TrackerState,
  WindowStep,
} from '@drover/detection';
import { DecisionStage } from './decision-stage.ts';
import type { PathListener } from './decision-stage.ts';
import type { DetectorSession, DetectorState } from './detector-session.ts';
import { SampleIntake } from './sample-intake.ts';

/**
 * All that a path remembers, except for its window: plain values and Float32Arrays, to persist (`node:v8` keeps them as they
 * are, JSON does not) and to bring back.
 */
export interface PathState {
  readonly lastTimeMs: number | null;
  readonly policy: PolicyState;
  readonly tracker: TrackerState;
  /** What does not fit the model (or is not there) counts as none: the model then sees the retained samples. */
  readonly detector: DetectorState;
}

export interface PathOptions {
  /** With a batch of one. */
  readonly session: DetectorSession;
  readonly signature: DetectorSignature;
  readonly policy: PolicySpec;
  /** Names of the values in a sample, in their order. */
  readonly sourceChannels: readonly string[];
  /** Where known and clearly above the signature's rate, samples are thinned out as the channels ask. */
  readonly sourceRateHz?: number | undefined;
  readonly newId: () => string;
  readonly revisionIntervalMs?: number | undefined;
  readonly state?: PathState | undefined;
  readonly listener: PathListener;
}

export interface PathCounters {
  readonly samples: number;
  /** Windows that were scored and decided on. */
  readonly windows: number;
  readonly missingValues: number;
  readonly restarts: number;
  readonly invalidScores: number;
  readonly failedRuns: number;
}

/**
 * The whole way of one detector, live: sample → window → run → decision → anomaly. A backtest goes the same way in batches
 * (`Replay`). Not reentrant: a `score` must have ended before the next sample is accepted.
 */
export class DetectionPath {
  readonly #session: DetectorSession;
  readonly #intake: SampleIntake;
  readonly #stage: DecisionStage;
  readonly #resetsAtGap: boolean;
  /** The model's own state was brought back: it knows what came before. */
  readonly #restored: boolean;
  #refilling = false;

  /** @throws SignatureMismatchError when the samples lack a channel of the model */
  constructor(options: PathOptions) {
    const { session, signature, state } = options;
    this.#session = session;
    this.#resetsAtGap = signature.stateReset === 'gap';
    this.#intake = new SampleIntake({
      signature,
      masked: session.contract.mask,
      sourceChannels: options.sourceChannels,
      sourceRateHz: options.sourceRateHz,
      lastTimeMs: state?.lastTimeMs ?? Number.NaN,
    });
    this.#stage = new DecisionStage({
      signature,
      policy: options.policy,
      newId: options.newId,
      revisionIntervalMs: options.revisionIntervalMs,
      ...(state === undefined ? {} : { state }),
      listener: options.listener,
    });
    this.#restored = state !== undefined && session.importState(state.detector);
  }

  /** Rows of the source that fill the window and outlast the warm-up. */
  get refillRows(): number {
    return this.#intake.refillRows;
  }

  get counters(): PathCounters {
    return { ...this.#intake.counters, ...this.#stage.counters };
  }

  /**
   * Takes a sample. Anything but `none` asks for `score`.
   *
   * @param values one per source channel, from `offset` on
   */
  accept(timeMs: number, values: ArrayLike<number>, offset = 0): WindowStep {
    const intake = this.#intake;
    const step = intake.accept(timeMs, values, offset);
    if (this.#refilling) {
      if (intake.restarted && !this.#restored && this.#resetsAtGap) this.#session.resetState();
    } else if (intake.interrupted) {
      this.#stage.close('gap');
      if (this.#resetsAtGap) this.#session.resetState();
    }
    return step;
  }

  /** Runs the model on the window that `accept` announced, and acts on the score unless the model is warming up. */
  async score(step: WindowStep): Promise<void> {
    const session = this.#session;
    this.#intake.copyTo(session);
    const timeMs = this.#intake.lastTimeMs;
    try {
      await session.run();
    } catch (error) {
      this.#stage.takeFailure(timeMs, error);
      return;
    }
    // A state that holds a NaN would give nothing else ever after.
    if (!this.#stage.take(step, timeMs, session.score, session.contributions)) session.resetState();
  }

  /**
   * Fills the window from the samples that came before this path's first one. Nothing is decided on. A model with
   * state sees the windows, unless its state was brought back and already knows them.
   *
   * @param replay visits the samples, oldest first
   * @returns how many there were
   */
  async refill(
    replay: (visit: (timeMs: number, values: ArrayLike<number>, offset: number) => unknown) => Promise<number>,
  ): Promise<number> {
    this.#refilling = true;
    const runs = this.#session.contract.state.length > 0 && !this.#restored;
    try {
      return await replay((timeMs, values, offset) => {
        const step = this.accept(timeMs, values, offset);
        return step !== 'none' && runs ? this.score('warming') : undefined;
      });
    } finally {
      this.#refilling = false;
    }
  }

  /** Closes an open anomaly: the path ends. */
  close(reason: CloseReason): void {
    this.#stage.close(reason);
  }

  exportState(): PathState {
    const last = this.#intake.lastTimeMs;
    return {
      lastTimeMs: Number.isNaN(last) ? null : last,
      ...this.#stage.exportState(),
      detector: this.#session.exportState(),
    };
  }
}
