import {
  AnomalyTracker,
  Resampler,
  WindowBuilder,
  createPolicy,
  needsResampling,
  windowSpecOf,
} from '@drover/detection';
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
import type { DetectorSession, DetectorState } from './detector-session.ts';
import { SignatureMismatchError } from './errors.ts';

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

/**
 * All that a path remembers, except for its window: plain values and Float32Arrays, to persist (`node:v8` keeps them as they
 * are, JSON does not) and to bring back.
 */
export interface PathState {
  readonly lastTimeMs: number | null;
  readonly policy: PolicyState;
  readonly tracker: TrackerState;
  readonly detector: DetectorState;
}

export interface PathOptions {
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
 * The whole way of one detector: sample → window → run → decision → anomaly. The agent's worker and a backtest run the
 * same path. Not reentrant: a `score` must have ended before the next sample is accepted.
 */
export class DetectionPath {
  readonly #session: DetectorSession;
  readonly #signature: DetectorSignature;
  readonly #builder: WindowBuilder;
  readonly #resampler: Resampler | undefined;
  readonly #policy: AnyPolicy;
  readonly #tracker: AnomalyTracker;
  readonly #listener: PathListener;
  /** Where each of the model's channels is in a sample. */
  readonly #columns: Int32Array;
  readonly #row: Float64Array;
  /** Time of the last sample before this path's own first, where its state came from elsewhere. */
  #restoredTimeMs: number;
  readonly #restored: boolean;
  #refilling = false;
  #lastValidMs: number;
  #faulty = false;
  #windows = 0;
  #invalidScores = 0;
  #failedRuns = 0;

  /** @throws SignatureMismatchError when the samples lack a channel of the model */
  constructor(options: PathOptions) {
    const { session, signature, sourceChannels, sourceRateHz, state } = options;
    this.#session = session;
    this.#signature = signature;
    this.#listener = options.listener;
    this.#columns = columnsOf(signature, sourceChannels);
    this.#row = new Float64Array(signature.channels.length);
    this.#builder = new WindowBuilder(windowSpecOf(signature, session.contract.mask));
    this.#resampler =
      sourceRateHz !== undefined && needsResampling(sourceRateHz, signature.rateHz)
        ? new Resampler({
            resampling: signature.channels.map(({ resampling }) => resampling),
            sourceRateHz,
            rateHz: signature.rateHz,
          })
        : undefined;
    this.#policy = createPolicy(options.policy, state?.policy);
    this.#tracker = new AnomalyTracker({
      channels: signature.channels.map(({ name }) => name),
      newId: options.newId,
      ...(options.revisionIntervalMs === undefined ? {} : { revisionIntervalMs: options.revisionIntervalMs }),
      ...(state === undefined ? {} : { state: state.tracker }),
    });
    if (state !== undefined) session.importState(state.detector);
    this.#restored = state !== undefined;
    this.#restoredTimeMs = state?.lastTimeMs ?? Number.NaN;
    this.#lastValidMs = this.#restoredTimeMs;
  }

  /** Rows of the source that fill the window and outlast the warm-up. */
  get refillRows(): number {
    const { window, stride, warmup } = this.#signature;
    return Math.ceil((window + stride * warmup) * (this.#resampler?.ratio ?? 1));
  }

  get counters(): PathCounters {
    return {
      ...this.#builder.counters,
      windows: this.#windows,
      invalidScores: this.#invalidScores,
      failedRuns: this.#failedRuns,
    };
  }

  /**
   * Takes a sample. Anything but `none` asks for `score`.
   *
   * @param values one per source channel, from `offset` on
   */
  accept(timeMs: number, values: ArrayLike<number>, offset = 0): WindowStep {
    const columns = this.#columns;
    const row = this.#row;
    for (let c = 0; c < columns.length; c += 1) row[c] = values[offset + columns[c]!]!;
    const resampler = this.#resampler;
    if (resampler === undefined) return this.#push(timeMs, row);
    return resampler.push(timeMs, row) ? this.#push(resampler.timeMs, resampler.values) : 'none';
  }

  /** Runs the model on the window that `accept` announced, and acts on the score unless the model is warming up. */
  async score(step: WindowStep): Promise<void> {
    const session = this.#session;
    this.#builder.copyWindow(session.window);
    if (session.mask !== undefined) this.#builder.copyMask(session.mask);
    if (session.time !== undefined) this.#builder.copyTimes(session.time);
    const timeMs = this.#builder.lastTimeMs;
    try {
      await session.run();
    } catch (error) {
      this.#failedRuns += 1;
      this.#fail({ code: 'run-failed', message: error instanceof Error ? error.message : String(error), timeMs });
      return;
    }
    for (let s = 0; s < session.signals; s += 1) {
      if (Number.isFinite(session.score[s])) continue;
      this.#invalidScores += 1;
      // A state that holds a NaN would give nothing else ever after.
      session.resetState();
      this.#fail({ code: 'score-invalid', message: `Signal ${s} is ${session.score[s]}`, timeMs });
      return;
    }
    this.#faulty = false;
    this.#lastValidMs = timeMs;
    if (step === 'ready') this.#decide(timeMs);
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
      const rows = await replay((timeMs, values, offset) => {
        const step = this.accept(timeMs, values, offset);
        return step !== 'none' && runs ? this.score('warming') : undefined;
      });
      // From here on the window itself knows when the last sample was.
      if (rows > 0) this.#restoredTimeMs = Number.NaN;
      return rows;
    } finally {
      this.#refilling = false;
    }
  }

  /** Closes an open anomaly: the path ends. */
  close(reason: CloseReason): void {
    this.#policy.interrupt();
    this.#tell(this.#tracker.close(reason));
  }

  exportState(): PathState {
    const last = this.#builder.lastTimeMs;
    return {
      lastTimeMs: Number.isNaN(last) ? null : last,
      policy: this.#policy.exportState(),
      tracker: this.#tracker.exportState(),
      detector: this.#session.exportState(),
    };
  }

  #push(timeMs: number, row: ArrayLike<number>): WindowStep {
    const step = this.#builder.push(timeMs, row);
    if (this.#refilling) {
      if (this.#builder.restarted && !this.#restored && this.#signature.stateReset === 'gap')
        this.#session.resetState();
      return step;
    }
    // NaN compares as no gap.
    const late = Math.abs(timeMs - this.#restoredTimeMs) > this.#signature.maxGapMs;
    this.#restoredTimeMs = Number.NaN;
    if (this.#builder.restarted || late) this.#interrupt();
    return step;
  }

  #decide(timeMs: number): void {
    const session = this.#session;
    const decision = this.#policy.decide(session.score);
    this.#windows += 1;
    this.#listener.onDecision?.(timeMs, decision, session.contributions);
    this.#tell(this.#tracker.observe(decision, timeMs, session.contributions));
  }

  /** What was before does not belong to what comes now. */
  #interrupt(): void {
    this.#policy.interrupt();
    this.#tell(this.#tracker.close('gap'));
    if (this.#signature.stateReset === 'gap') this.#session.resetState();
  }

  /** A fault is no anomaly and ends none at once; a lasting one does, because nobody sees whether it goes on. */
  #fail(fault: PathFault): void {
    if (fault.timeMs - this.#lastValidMs > this.#signature.maxGapMs) {
      this.#policy.interrupt();
      this.#tell(this.#tracker.close('gap'));
    }
    if (!this.#faulty) this.#listener.onFault?.(fault);
    this.#faulty = true;
  }

  #tell(update: AnomalyUpdate | undefined): void {
    if (update !== undefined) this.#listener.onAnomaly(update);
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
