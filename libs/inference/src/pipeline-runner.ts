import { QuantileRing } from '@drover/detection';
import type { AnomalyUpdate } from '@drover/detection';
import { benchmarkSession } from './benchmark.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import type { PathFault, PathListener } from './decision-stage.ts';
import { DetectionPath } from './detection-path.ts';
import type { PathState } from './detection-path.ts';
import { DetectorSession } from './detector-session.ts';
import { DetectorExistsError, DetectorInUseError, UnknownDetectorError } from './errors.ts';
import { checkGolden } from './golden-check.ts';
import type { GoldenReport, GoldenVectors } from './golden-check.ts';
import { unpackModel } from './model-file.ts';
import type { OnnxRuntime } from './onnx-runtime.ts';
import { SampleReader, monotonicMs } from './sample-ring.ts';
import type { SharedRing } from './sample-ring.ts';
import { ScoreWindow } from './score-window.ts';
import type {
  Activation,
  DetectorSpec,
  PipelineSetup,
  PipelineSnapshot,
  PipelineStats,
  PreparedDetector,
} from './worker-messages.ts';

interface Prepared {
  readonly spec: DetectorSpec;
  readonly session: DetectorSession;
}

interface Serving extends Prepared {
  readonly path: DetectionPath;
}

/** What runs where. */
export interface RunningDetector {
  readonly pipeline: string;
  readonly key: string;
  readonly provider: string;
}

export interface RunnerListener {
  /** @param snapshot the memory right after the update: who goes on from it does not repeat the anomaly */
  onAnomaly(detector: RunningDetector, update: AnomalyUpdate, snapshot: PipelineSnapshot): void;
  onFault(detector: RunningDetector, fault: PathFault): void;
}

export interface RunnerOptions {
  readonly setup: PipelineSetup;
  readonly ring: SharedRing;
  /** Samples wait until a detector serves, instead of becoming history. */
  readonly hold: boolean;
  /** Loaded when the first detector needs it. */
  readonly runtime: () => OnnxRuntime;
  readonly newId: () => string;
  readonly listener: RunnerListener;
}

/**
 * One pipeline in the worker: takes samples from its ring, runs the detector that serves, and keeps others ready.
 *
 * INVARIANTS
 * - Samples are processed one after another; `#between` runs what must not happen in the middle of one, and nothing is
 *   taken from the ring meanwhile. So a swap loses no sample and none is seen twice.
 * - The session that serves is used by the path alone. Golden checks and benchmarks take only sessions that do not serve.
 */
export class PipelineRunner {
  readonly #options: RunnerOptions;
  readonly #reader: SampleReader;
  readonly #prepared = new Map<string, Prepared>();
  readonly #latencyUs = new QuantileRing();
  readonly #pathUs = new QuantileRing();
  readonly #scores = new ScoreWindow();
  #serving: Serving | null = null;
  #held: boolean;
  #draining = false;
  #drained = Promise.resolve();
  #errands: (() => Promise<void>)[] = [];

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#reader = new SampleReader(options.ring);
    this.#held = options.hold;
  }

  get name(): string {
    return this.#options.setup.name;
  }
  /** Something is being done, or `drain` would find something to do. */
  get busy(): boolean {
    return this.#draining || this.#errands.length > 0 || (!this.#held && this.#reader.pending > 0);
  }

  /** Loads and checks a detector; the one that serves goes on. */
  async prepare(spec: DetectorSpec): Promise<PreparedDetector> {
    if (this.#prepared.has(spec.key)) throw new DetectorExistsError(`Detector "${spec.key}" is prepared already`);
    const start = performance.now();
    const model = await unpackModel(spec.model, spec.encoding);
    const session = await DetectorSession.open(this.#options.runtime(), model, spec.signature, {
      providers: spec.providers,
      calibration: spec.calibration,
      ...(spec.threads === undefined ? {} : { threads: spec.threads }),
    });
    const prepared = { spec, session };
    try {
      // Only to see that the samples have all that it needs, now and not at the swap.
      this.#pathFor(prepared, null);
    } catch (error) {
      await session.release();
      throw error;
    }
    this.#prepared.set(spec.key, prepared);
    const { provider, failures, signals } = session;
    return { key: spec.key, provider, failures, signals, loadMs: performance.now() - start };
  }

  checkGolden(key: string, vectors: GoldenVectors): Promise<GoldenReport> {
    return checkGolden(this.#idle(key).session, vectors);
  }

  benchmark(key: string, options: BenchmarkOptions, signal: AbortSignal): Promise<BenchmarkReport> {
    return benchmarkSession(this.#idle(key).session, options, signal);
  }

  /**
   * Swaps detectors between two samples. The new one's window is filled from the samples before; the old one's open
   * anomaly is closed, and it stays prepared.
   *
   * @param state of an earlier path of the same detector, to go on with
   */
  activate(key: string, state: PathState | null): Promise<Activation> {
    const prepared = this.#idle(key);
    return this.#between(async () => {
      const path = this.#pathFor(prepared, state);
      const reader = this.#reader;
      const refilledRows = await path.refill((visit) =>
        reader.replay(path.refillRows, (timeMs, offset) => visit(timeMs, reader.values, offset)),
      );
      this.#serving?.path.close('replaced');
      this.#serving = { ...prepared, path };
      this.#held = false;
      this.#latencyUs.clear();
      this.#pathUs.clear();
      this.#scores.clear();
      return {
        key,
        provider: prepared.session.provider,
        refilledRows,
        neededRows: path.refillRows,
        snapshot: this.#snapshotHere()!,
      };
    });
  }

  /** Releases a detector that does not serve. */
  async discard(key: string): Promise<void> {
    const { session } = this.#idle(key);
    this.#prepared.delete(key);
    await session.release();
  }

  /** Closes what is open and releases everything. */
  async stop(): Promise<void> {
    await this.#between(async () => {
      this.#serving?.path.close('stopped');
      this.#serving = null;
      for (const { session } of this.#prepared.values()) await session.release();
      this.#prepared.clear();
    });
  }

  /** Takes no more samples. @returns the memory after the last one */
  park(): Promise<PipelineSnapshot | null> {
    return this.#between(async () => {
      this.#held = true;
      return this.#snapshotHere();
    });
  }

  /** The memory between two samples. */
  snapshot(): Promise<PipelineSnapshot | null> {
    return this.#between(async () => this.#snapshotHere());
  }

  /** @param periodic whether the score summary starts anew */
  stats(periodic: boolean): PipelineStats | null {
    const serving = this.#serving;
    if (serving === null) return null;
    const scores = this.#scores.summary();
    if (periodic) this.#scores.clear();
    return {
      pipeline: this.name,
      key: serving.spec.key,
      provider: serving.session.provider,
      ...serving.path.counters,
      latencyUs: this.#latencyUs.summary(),
      pathUs: this.#pathUs.summary(),
      scores,
      pending: this.#reader.pending,
    };
  }

  /** Processes what is in the ring, and errands between samples, until both are empty. */
  drain(): Promise<void> {
    if (!this.#draining) {
      this.#draining = true;
      this.#drained = this.#drainAll();
    }
    return this.#drained;
  }

  async #drainAll(): Promise<void> {
    const reader = this.#reader;
    try {
      for (;;) {
        const errand = this.#errands.shift();
        if (errand !== undefined) await errand();
        else if (this.#held) break;
        else if (reader.pending > 0) await this.#next();
        else if (reader.sleep()) break;
      }
    } finally {
      this.#draining = false;
    }
  }

  /** Takes samples until one needs a run, or the ring is empty. */
  async #next(): Promise<void> {
    const reader = this.#reader;
    const path = this.#serving?.path;
    if (path === undefined) {
      reader.advance();
      return;
    }
    const arrivalMs = reader.arrivalMs;
    const startMs = monotonicMs();
    const step = path.accept(reader.timeMs, reader.values, reader.offset);
    // Advanced before the run ends, but nobody looks in between: errands wait, and a dead worker is resumed from a
    // snapshot's position.
    reader.advance();
    if (step === 'none') return;
    await path.score(step);
    const endMs = monotonicMs();
    this.#latencyUs.add((endMs - arrivalMs) * 1_000);
    this.#pathUs.add((endMs - startMs) * 1_000);
  }

  #between<T>(errand: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#errands.push(() => errand().then(resolve, reject));
      void this.drain();
    });
  }

  #snapshotHere(): PipelineSnapshot | null {
    const serving = this.#serving;
    if (serving === null) return null;
    return { key: serving.spec.key, position: this.#reader.position, state: serving.path.exportState() };
  }

  #pathFor({ spec, session }: Prepared, state: PathState | null): DetectionPath {
    const { setup, newId } = this.#options;
    session.resetState();
    return new DetectionPath({
      session,
      signature: spec.signature,
      policy: spec.policy,
      sourceChannels: setup.channels,
      sourceRateHz: setup.rateHz,
      newId,
      revisionIntervalMs: setup.revisionIntervalMs,
      listener: this.#listenerFor({ pipeline: setup.name, key: spec.key, provider: session.provider }),
      ...(state === null ? {} : { state }),
    });
  }

  #listenerFor(detector: RunningDetector): PathListener {
    const { listener } = this.#options;
    return {
      onAnomaly: (update) => listener.onAnomaly(detector, update, this.#snapshotHere()!),
      onFault: (fault) => listener.onFault(detector, fault),
      onDecision: (timeMs, decision) => this.#scores.add(decision.compared, timeMs),
    };
  }

  #idle(key: string): Prepared {
    const prepared = this.#prepared.get(key);
    if (prepared === undefined) throw new UnknownDetectorError(`No detector "${key}" is prepared in "${this.name}"`);
    if (prepared.spec.key === this.#serving?.spec.key) {
      throw new DetectorInUseError(`Detector "${key}" serves in "${this.name}"`);
    }
    return prepared;
  }
}
