/**
 * A recording through a detector, much faster than live: windows of a graph without state are run many at a time.
 *
 * INVARIANTS
 * - The same intake (resampling, windows, gaps) and the same decisions (policy, tracker, faults) as in `DetectionPath`, in the
 *   same order; only the runs are gathered.
 * - Causal and repeatable: what is said of a window depends on rows up to its last one alone, to the bit. So the number of
 *   windows per run is fixed (kernels round differently for other sizes), a window's place in its run depends on how many came
 *   before, the last run is filled up, and graphs that mix the windows of a run are run one by one.
 */
import type { AnomalyUpdate, Decision, DetectorSignature, PolicySpec, WindowStep } from '@drover/detection';
import { DecisionStage } from './decision-stage.ts';
import type { PathFault } from './decision-stage.ts';
import type { PathCounters } from './detection-path.ts';
import { DetectorSession } from './detector-session.ts';
import type { DetectorSessionOptions } from './detector-session.ts';
import type { OnnxRuntime } from './onnx-runtime.ts';
import { SampleIntake } from './sample-intake.ts';

/**
 * Called for every window that is decided on, in order. The arguments are reused: copy what you keep.
 *
 * @param timeMs of the window's last sample
 * @param contributions C values
 * @param row index of the row that completed the window, from 0
 */
export type VisitDecision = (
  timeMs: number,
  decision: Readonly<Decision>,
  contributions: Float32Array,
  row: number,
) => void;

export interface ReplayOptions {
  /** From `openReplaySession`. Its state starts from zeros. */
  readonly session: DetectorSession;
  readonly signature: DetectorSignature;
  readonly policy: PolicySpec;
  readonly visit: VisitDecision;
  /** Names of the values in a row, in their order. Default: the signature's. */
  readonly sourceChannels?: readonly string[] | undefined;
  /** Where known and clearly above the signature's rate, rows are thinned out as on a device. */
  readonly sourceRateHz?: number | undefined;
  /**
   * Index of the first row whose window is decided on. Rows before it (what a model was trained on) fill the window and move
   * the state, as samples do that an agent refills from. Default 0.
   */
  readonly decideFrom?: number | undefined;
  /** Gives anomalies their ids. Default: their number, from 1. */
  readonly newId?: (() => string) | undefined;
  readonly onAnomaly?: ((update: AnomalyUpdate) => void) | undefined;
  readonly onFault?: ((fault: PathFault) => void) | undefined;
  /** A row did not continue what was before it: an alarm that was on is over. In order with `visit`. */
  readonly onGap?: ((row: number) => void) | undefined;
}

export interface ReplayRow {
  /** Milliseconds since the Unix epoch. */
  readonly timeMs: number;
  /** One per source channel; NaN is missing. */
  readonly values: ArrayLike<number>;
}

/** A whole recording in memory. */
export interface ReplayTable {
  /** `[rows]` */
  readonly timesMs: ArrayLike<number>;
  /** `[rows, C]`, row by row; NaN is missing. */
  readonly values: ArrayLike<number>;
}

export type ReplaySource = ReplayTable | Iterable<ReplayRow> | AsyncIterable<ReplayRow>;

/** Windows per run. More gains nothing: the work per window outweighs that per run long before. */
export const REPLAY_BATCH = 64;
/** Of a run's windows together, so that long windows do not fill the memory. */
const MOST_BATCH_VALUES = 2 ** 21;

/** Rows to push one after the other; `push` says when a run is due. */
export class Replay {
  readonly #session: DetectorSession;
  readonly #intake: SampleIntake;
  readonly #stage: DecisionStage;
  readonly #resetsAtGap: boolean;
  /** Views of each place of a run. */
  readonly #scores: readonly Float32Array[];
  readonly #contributions: readonly Float32Array[];
  readonly #steps: WindowStep[] = [];
  readonly #times: Float64Array;
  readonly #rowsOf: Float64Array;
  /** Rows that did not continue what was before, and the place in the run that the next window has. */
  readonly #gaps: { readonly slot: number; readonly row: number }[] = [];
  readonly #onGap: (row: number) => void;
  readonly #decideFrom: number;
  #row = -1;
  #decidedRow = -1;

  /** @throws SignatureMismatchError when the rows lack a channel of the model */
  constructor(options: ReplayOptions) {
    const { session, signature, visit, onAnomaly, onFault } = options;
    this.#session = session;
    this.#resetsAtGap = signature.stateReset === 'gap';
    this.#onGap = options.onGap ?? (() => undefined);
    this.#decideFrom = options.decideFrom ?? 0;
    this.#intake = new SampleIntake({
      signature,
      masked: session.contract.mask,
      sourceChannels: options.sourceChannels ?? signature.channels.map(({ name }) => name),
      sourceRateHz: options.sourceRateHz,
    });
    let anomalies = 0;
    this.#stage = new DecisionStage({
      signature,
      policy: options.policy,
      newId: options.newId ?? (() => String((anomalies += 1))),
      listener: {
        onDecision: (timeMs, decision, contributions) => visit(timeMs, decision, contributions, this.#decidedRow),
        onAnomaly: (update) => onAnomaly?.(update),
        onFault: (fault) => onFault?.(fault),
      },
    });
    const { batch, signals } = session;
    const channels = signature.channels.length;
    this.#scores = slices(session.score, signals);
    this.#contributions = slices(session.contributions, channels);
    this.#times = new Float64Array(batch);
    this.#rowsOf = new Float64Array(batch);
    session.resetState();
  }

  get counters(): PathCounters {
    return { ...this.#intake.counters, ...this.#stage.counters };
  }

  /**
   * Takes a row.
   *
   * @param values one per source channel, from `offset` on
   * @returns true when `flush` has to be awaited before the next row
   */
  push(timeMs: number, values: ArrayLike<number>, offset = 0): boolean {
    this.#row += 1;
    const steps = this.#steps;
    const step = this.#intake.accept(timeMs, values, offset);
    const slot = steps.length;
    if (this.#intake.interrupted) {
      if (slot === 0) this.#interrupt(this.#row);
      else this.#gaps.push({ slot, row: this.#row });
    }
    if (step === 'none') return false;
    const decided = this.#row >= this.#decideFrom;
    if (!decided && this.#session.contract.state.length === 0) return false;
    this.#intake.copyTo(this.#session, slot);
    this.#times[slot] = this.#intake.lastTimeMs;
    this.#rowsOf[slot] = this.#row;
    steps.push(decided ? step : 'warming');
    return steps.length === this.#session.batch;
  }

  /** Runs and decides on the windows that wait. Before a full run it fills the run up, so do that at the end alone. */
  async flush(): Promise<void> {
    const steps = this.#steps;
    const { length } = steps;
    if (length > 0) {
      let ran = true;
      try {
        await this.#session.run();
      } catch (error) {
        ran = false;
        if (length === 1 && this.#session.batch === 1) this.#stage.takeFailure(this.#times[0]!, error);
        else await this.#runAlone();
      }
      if (ran) for (let slot = 0; slot < length; slot += 1) this.#decide(slot);
    }
    steps.length = 0;
    this.#interruptBefore(length);
  }

  /** The recording ends: decides on what waits, and closes an open anomaly. */
  async finish(): Promise<PathCounters> {
    await this.flush();
    this.#stage.close('stopped');
    return this.counters;
  }

  #decide(slot: number): void {
    this.#interruptBefore(slot);
    this.#decidedRow = this.#rowsOf[slot]!;
    const step = this.#steps[slot]!;
    if (!this.#stage.take(step, this.#times[slot]!, this.#scores[slot]!, this.#contributions[slot]!)) {
      this.#session.resetState();
    }
  }

  #interruptBefore(slot: number): void {
    while (this.#gaps[0] !== undefined && this.#gaps[0].slot <= slot) this.#interrupt(this.#gaps.shift()!.row);
  }

  #interrupt(row: number): void {
    this.#stage.close('gap');
    this.#onGap(row);
    if (this.#resetsAtGap) this.#session.resetState();
  }

  /** One window makes its run fail, and the others must not suffer: each runs in its place with nothing beside it. */
  async #runAlone(): Promise<void> {
    const session = this.#session;
    const inputs = [session.window, session.mask, session.time].filter((values) => values !== undefined);
    const waiting = inputs.map((values) => values.slice());
    for (let slot = 0; slot < this.#steps.length; slot += 1) {
      inputs.forEach((values, i) => {
        const size = values.length / session.batch;
        values.fill(0);
        values.set(waiting[i]!.subarray(slot * size, (slot + 1) * size), slot * size);
      });
      try {
        await session.run();
      } catch (error) {
        this.#interruptBefore(slot);
        this.#stage.takeFailure(this.#times[slot]!, error);
        continue;
      }
      this.#decide(slot);
    }
  }
}

/**
 * Replays a whole recording.
 *
 * @param rows of the signature's channels, in its order, unless `more.sourceChannels` says otherwise
 * @throws SignatureMismatchError when the rows lack a channel of the model; what `rows` throws
 */
export async function replay(
  session: DetectorSession,
  signature: DetectorSignature,
  policy: PolicySpec,
  rows: ReplaySource,
  visit: VisitDecision,
  more: Omit<ReplayOptions, 'session' | 'signature' | 'policy' | 'visit'> = {},
): Promise<PathCounters> {
  const run = new Replay({ ...more, session, signature, policy, visit });
  if ('timesMs' in rows) {
    const { timesMs, values } = rows;
    const width = more.sourceChannels?.length ?? signature.channels.length;
    for (let i = 0; i < timesMs.length; i += 1) if (run.push(timesMs[i]!, values, i * width)) await run.flush();
  } else if (Symbol.iterator in rows) {
    for (const { timeMs, values } of rows) if (run.push(timeMs, values)) await run.flush();
  } else {
    for await (const { timeMs, values } of rows) if (run.push(timeMs, values)) await run.flush();
  }
  return run.finish();
}

/**
 * Opens a detector for replays: with many windows per run where the graph scores each on its own, else one by one.
 *
 * @param options `batch`: windows per run; results of different batches can differ in the last bits
 * @throws InvalidGraphError, DetectorContractError, SignatureMismatchError
 */
export async function openReplaySession(
  runtime: OnnxRuntime,
  model: string | Uint8Array,
  signature: DetectorSignature,
  options: DetectorSessionOptions,
): Promise<DetectorSession> {
  const fitting = Math.floor(MOST_BATCH_VALUES / (signature.window * signature.channels.length));
  const batch = options.batch ?? Math.min(REPLAY_BATCH, Math.max(1, fitting));
  const session = await DetectorSession.open(runtime, model, signature, { ...options, batch });
  if (session.batch === 1 || (await scoresWindowsApart(session))) return session;
  await session.release();
  return DetectorSession.open(runtime, model, signature, { ...options, batch: 1 });
}

const PROBE_SIZES = [0.01, 1, 100, 10_000];
const PROBE_LIMIT = 1e6;

/**
 * Whether a window's outputs are the same bits whatever windows run beside it. They are not where a graph takes something over
 * all windows of a run, as dynamic quantisation does with its scale. Tried with windows of several sizes, next to others of
 * nothing but zeros and of values far out.
 */
async function scoresWindowsApart(session: DetectorSession): Promise<boolean> {
  const { window, batch } = session;
  const half = Math.floor(batch / 2);
  const from = (half * window.length) / batch;
  try {
    for (const size of PROBE_SIZES) {
      for (let i = 0; i < from; i += 1) window[i] = size * Math.sin(i * 12.9898);
      window.fill(0, from);
      const beside = await outputsOf(session, half);
      for (let i = from; i < window.length; i += 1) window[i] = PROBE_LIMIT * Math.sin(i * 37.719);
      if (!beside.equals(await outputsOf(session, half))) return false;
    }
  } catch {
    return false;
  }
  window.fill(0);
  return true;
}

/** Bytes of what the model says of the first `count` windows of a run. */
async function outputsOf(session: DetectorSession, count: number): Promise<Buffer> {
  await session.run();
  return Buffer.concat(
    [session.score, session.contributions].map(({ buffer, byteOffset, byteLength }) =>
      Buffer.from(buffer, byteOffset, (byteLength / session.batch) * count),
    ),
  );
}

/** Views of `size` values each. */
function slices(values: Float32Array, size: number): Float32Array[] {
  return Array.from({ length: values.length / size }, (_, i) => values.subarray(i * size, (i + 1) * size));
}
