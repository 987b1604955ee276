/**
 * Runs the device's pipelines: samples into inference, anomalies out of it, releases in and out between two samples.
 *
 * INVARIANTS
 * - What runs is replaced by `activate` alone, and only once its successor is loaded and ready.
 * - The release that ran before stays loaded until `settle`, so that the way back takes no loading.
 * - Every detector handed to inference has a key of its own; its release is known for as long as it may report.
 */
import { decodeFloats, InferenceHost } from '@drover/inference';
import type {
  Activation,
  AnomalyNews,
  FaultNews,
  InferenceHostOptions,
  PathState,
  PipelineStats,
} from '@drover/inference';
import { messageOf, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import type { Sample } from '../sensors/sensor.ts';
import type { EventReporter } from '../telemetry/event-reporter.ts';
import type { ReadyRelease, ReleaseEngine, Round, RoundLimits } from '../updates/release-engine.ts';
import type { ServedRelease } from '../updates/update-records.ts';
import { anomalyOf } from './anomaly-message.ts';
import { restAfterSave } from './pipeline-state.store.ts';
import type { PipelineStateStore } from './pipeline-state.store.ts';

export interface PipelineSource {
  readonly name: string;
  readonly channels: readonly string[];
  readonly rateHz: number | null;
}

export interface PipelineServiceParts {
  readonly sources: readonly PipelineSource[];
  readonly host: Omit<InferenceHostOptions, 'listener'>;
  readonly threads: number;
  readonly states: PipelineStateStore;
  readonly reporter: Pick<EventReporter, 'anomaly' | 'log'>;
  readonly logger: Logger;
  /** Something went wrong with what runs. */
  readonly onTrouble: (pipeline: string) => void;
}

/** What a pipeline does, for the device's report. */
export interface PipelineFigures {
  readonly latency: { count: number; p50Us: number; p95Us: number; p99Us: number } | null;
  readonly windows: number;
  readonly lastScoreAt: number | null;
}

interface Loaded {
  readonly key: string;
  readonly identity: string;
  served: ServedRelease;
}

interface Pipeline {
  readonly source: PipelineSource;
  /** By key: what runs, and what ran until a moment ago. */
  readonly loaded: Map<string, Loaded>;
  running: Loaded | null;
  trouble: string | null;
  lastScoreAt: number | null;
  refusedTold: boolean;
  /** When its whole state is stored next, by the monotonic clock; decisions are stored at once. */
  saveDueMs: number;
  /** One after the other: an older state must not replace a newer one. */
  saving: Promise<void>;
}

const SAVE_STATES_MS = 60_000;
const SAVE_EARLY_MS = 1_000;
const FIRST_SCORE_POLL_MS = 20;

export class PipelineService implements ReleaseEngine {
  readonly #parts: PipelineServiceParts;
  readonly #host: InferenceHost;
  readonly #pipelines: ReadonlyMap<string, Pipeline>;
  #keys = 0;
  #saving: NodeJS.Timeout | null = null;

  constructor(parts: PipelineServiceParts) {
    this.#parts = parts;
    this.#pipelines = new Map(parts.sources.map((source) => [source.name, emptyPipeline(source)]));
    this.#host = new InferenceHost({
      ...parts.host,
      listener: {
        onAnomaly: (news) => this.#onAnomaly(news),
        onFault: (news) => this.#onFault(news),
        onStats: (stats) => this.#onStats(stats),
        onWorkerLost: (reason) => this.#onWorkerLost(reason),
      },
    });
  }

  async start(): Promise<void> {
    await this.#host.start();
    for (const { source } of this.#pipelines.values()) await this.#add(source);
    this.#saving = setInterval(() => void this.#saveStates(false), SAVE_STATES_MS);
  }

  async stop(): Promise<void> {
    if (this.#saving !== null) clearInterval(this.#saving);
    await this.#saveStates(true);
    await this.#host.stop();
  }

  push(name: string, sample: Sample): void {
    const pipeline = this.#pipelines.get(name)!;
    if (this.#host.push(name, sample.timeMs, sample.values) || pipeline.refusedTold) return;
    pipeline.refusedTold = true;
    const message = `Pipeline ${name} gets samples faster than it can process them; some are left out`;
    this.#parts.logger.warn({ pipeline: name }, message);
    this.#parts.reporter.log('warn', 'samples-refused', message);
  }

  /** Execution providers of this list that really work here. */
  async workingProviders(names: readonly string[]): Promise<string[]> {
    const probes = await this.#host.probeProviders(names);
    return probes.filter((probe) => probe.reason === null).map((probe) => probe.provider);
  }

  async figures(name: string): Promise<PipelineFigures> {
    const pipeline = this.#pipelines.get(name)!;
    const stats = await this.#host.stats(name).catch(() => null);
    const latency = stats?.latencyUs ?? null;
    return {
      latency: latency && { count: latency.count, p50Us: latency.p50, p95Us: latency.p95, p99Us: latency.p99 },
      windows: stats?.windows ?? 0,
      lastScoreAt: stats?.scores?.lastAt ?? pipeline.lastScoreAt,
    };
  }

  /** When a pipeline has decided on its first window since the process began; null where the signal aborts before. */
  async firstScore(name: string, signal: AbortSignal): Promise<{ sinceStartMs: number } | null> {
    while (!signal.aborted) {
      const stats = await this.#host.stats(name).catch(() => null);
      if ((stats?.windows ?? 0) > 0) return { sinceStartMs: Math.round(process.uptime() * 1_000) };
      await sleep(FIRST_SCORE_POLL_MS, signal).catch(() => undefined);
    }
    return null;
  }

  channels(name: string): readonly string[] {
    return this.#pipelines.get(name)?.source.channels ?? [];
  }

  trouble(name: string): string | null {
    return this.#pipelines.get(name)?.trouble ?? null;
  }

  relabel(name: string, served: ServedRelease): void {
    const running = this.#pipelines.get(name)?.running;
    if (running !== null && running !== undefined) running.served = served;
  }

  async verify(name: string, release: ReadyRelease, signal: AbortSignal): Promise<void> {
    const { golden, variant } = { golden: release.manifest.golden, variant: release.variant };
    // Golden outputs are those of the neutral calibration.
    await this.#briefly(name, release, false, signal, (key) =>
      this.#host.checkGolden(name, key, {
        count: golden.count,
        window: decodeFloats(golden.window),
        score: decodeFloats(variant.golden.score),
        contributions: decodeFloats(variant.golden.contributions),
        absoluteTolerance: variant.golden.absoluteTolerance,
        relativeTolerance: variant.golden.relativeTolerance,
      }),
    );
  }

  measure(name: string, release: ReadyRelease, limits: RoundLimits, signal: AbortSignal): Promise<Round> {
    const before = process.memoryUsage.rss();
    return this.#briefly(name, release, true, signal, async (key, provider) => {
      const { timesUs, rssBytes } = await this.#host.benchmark(name, key, limits);
      return { provider, timesUs, residentBytes: rssBytes, ownBytes: Math.max(0, rssBytes - before) };
    });
  }

  async activate(name: string, release: ReadyRelease | null): Promise<string | null> {
    const pipeline = this.#pipelines.get(name)!;
    if (release === null) {
      await this.#clear(pipeline);
      return null;
    }
    const identity = identityOf(release.served);
    let next = [...pipeline.loaded.values()].find((loaded) => loaded.identity === identity);
    const known = next !== undefined;
    if (next === undefined) {
      next = { key: this.#newKey(), identity, served: release.served };
      await this.#prepare(name, next.key, release, true);
    }
    if (next === pipeline.running) return next.served.provider;
    pipeline.loaded.set(next.key, next);
    const state = known ? null : await this.#parts.states.load(name, identity);
    try {
      const { provider } = await this.#resume(name, next.key, state);
      next.served = { ...release.served, provider };
      pipeline.running = next;
      pipeline.trouble = null;
      return provider;
    } catch (error) {
      pipeline.loaded.delete(next.key);
      await this.#host.discard(name, next.key).catch(() => undefined);
      throw error;
    }
  }

  /** Goes on from a state, or without it where the detector does not take it: it may be an older agent's. */
  async #resume(name: string, key: string, state: PathState | null): Promise<Activation> {
    try {
      return await this.#host.activate(name, key, state);
    } catch (error) {
      if (state === null) throw error;
      this.#parts.logger.warn({ pipeline: name }, `the detector begins without its memory: ${messageOf(error)}`);
      return this.#host.activate(name, key, null);
    }
  }

  async settle(name: string): Promise<void> {
    const pipeline = this.#pipelines.get(name);
    if (pipeline === undefined) return;
    for (const { key } of [...pipeline.loaded.values()].filter((loaded) => loaded !== pipeline.running)) {
      pipeline.loaded.delete(key);
      await this.#host.discard(name, key).catch((error: unknown) => {
        this.#parts.logger.warn({ pipeline: name }, `a detector was not released: ${messageOf(error)}`);
      });
    }
  }

  /** Loads a release beside what runs, for as long as `use` takes: a small board holds one more model at a time, not all. */
  async #briefly<T>(
    name: string,
    release: ReadyRelease,
    calibrated: boolean,
    signal: AbortSignal,
    use: (key: string, provider: string) => Promise<T>,
  ): Promise<T> {
    const key = this.#newKey();
    const provider = await this.#prepare(name, key, release, calibrated);
    try {
      signal.throwIfAborted();
      return await use(key, provider);
    } finally {
      await this.#host.discard(name, key).catch(() => undefined);
    }
  }

  async #prepare(name: string, key: string, release: ReadyRelease, calibrated: boolean): Promise<string> {
    const { served, variant, manifest, model, modelPath } = release;
    const calibration = calibrated ? served.calibration : null;
    const prepared = await this.#host.prepare(name, {
      key,
      model: modelPath,
      encoding: model,
      signature: manifest.signature,
      policy: served.calibration?.policy ?? variant.policy,
      providers: variant.providers ?? [],
      threads: this.#parts.threads,
      ...(calibration !== null && { calibration: { center: calibration.center, scale: calibration.scale } }),
    });
    return prepared.provider;
  }

  #add({ name, channels, rateHz }: PipelineSource): Promise<void> {
    return this.#host.addPipeline({ name, channels, rateHz: rateHz ?? undefined });
  }

  /** Inference has no "nothing runs": a pipeline that is made anew is that. */
  async #clear(pipeline: Pipeline): Promise<void> {
    const { name } = pipeline.source;
    if (pipeline.loaded.size === 0) return;
    await this.#host.removePipeline(name);
    pipeline.loaded.clear();
    pipeline.running = null;
    pipeline.trouble = null;
    pipeline.lastScoreAt = null;
    await this.#parts.states.forget(name);
    await this.#add(pipeline.source);
  }

  /** @param last whatever was stored lately */
  async #saveStates(last: boolean): Promise<void> {
    for (const [name, { saveDueMs }] of this.#pipelines) {
      await this.#saveState(name, last || performance.now() >= saveDueMs);
    }
  }

  /** @param whole with the model's own state, not only what was decided */
  #saveState(name: string, whole: boolean): Promise<void> {
    const { states } = this.#parts;
    const pipeline = this.#pipelines.get(name)!;
    pipeline.saving = pipeline.saving.then(async () => {
      const snapshot = await this.#host.snapshot(name).catch(() => null);
      const loaded = snapshot === null ? undefined : pipeline.loaded.get(snapshot.key);
      if (snapshot === null || loaded === undefined) return;
      if (!whole) return states.saveDecisions(name, loaded.identity, snapshot.state);
      // A little less than the interval, or a timer that is early by a hair would skip one.
      pipeline.saveDueMs = performance.now() + restAfterSave(snapshot.state, SAVE_STATES_MS) - SAVE_EARLY_MS;
      return states.save(name, loaded.identity, snapshot.state);
    });
    return pipeline.saving;
  }

  #onAnomaly(news: AnomalyNews): void {
    const loaded = this.#pipelines.get(news.pipeline)?.loaded.get(news.key);
    if (loaded === undefined) return;
    this.#parts.reporter.anomaly(anomalyOf(news, loaded.served));
    // An open anomaly must be closed some day, also by an agent that was killed meanwhile.
    if (news.update.change !== 'revised') void this.#saveState(news.pipeline, false);
  }

  #onFault({ pipeline: name, key, code, message }: FaultNews): void {
    const pipeline = this.#pipelines.get(name);
    this.#parts.logger.error({ pipeline: name, code }, `detection fault: ${message}`);
    this.#parts.reporter.log('error', code, `Pipeline ${name}: ${message}`);
    if (pipeline === undefined || pipeline.running?.key !== key) return;
    pipeline.trouble = message;
    this.#parts.onTrouble(name);
  }

  #onStats(stats: PipelineStats): void {
    const pipeline = this.#pipelines.get(stats.pipeline);
    if (pipeline !== undefined && stats.scores !== null) pipeline.lastScoreAt = stats.scores.lastAt;
  }

  /** Nobody knows whose model it was: every release that is still on trial has to answer for it. */
  #onWorkerLost(reason: string): void {
    this.#parts.logger.error({}, `inference is being restarted: ${reason}`);
    this.#parts.reporter.log('error', 'inference-worker-lost', reason);
    for (const [name, pipeline] of this.#pipelines) {
      if (pipeline.running === null) continue;
      pipeline.trouble = reason;
      this.#parts.onTrouble(name);
    }
  }

  #newKey(): string {
    this.#keys += 1;
    return `detector-${this.#keys}`;
  }
}

function emptyPipeline(source: PipelineSource): Pipeline {
  return {
    source,
    loaded: new Map(),
    running: null,
    trouble: null,
    lastScoreAt: null,
    refusedTold: false,
    saveDueMs: 0,
    saving: Promise.resolve(),
  };
}

/** What must be the same for a detector to be the same. */
function identityOf({ manifest, variantDigest, calibration }: ServedRelease): string {
  return JSON.stringify([manifest.digest, variantDigest, calibration]);
}
