import type { ResourceLimits } from 'node:worker_threads';
import { Backoff, messageOf, sleep } from '@drover/runtime';
import type { AnomalyUpdate } from '@drover/detection';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import type { PathFault } from './decision-stage.ts';
import type { PathState } from './detection-path.ts';
import { InferenceWorkerLostError, PipelineExistsError, UnknownPipelineError } from './errors.ts';
import type { GoldenReport, GoldenVectors } from './golden-check.ts';
import { HostedPipeline } from './hosted-pipeline.ts';
import type { HostedPipelineOptions } from './hosted-pipeline.ts';
import { monotonicMs } from './sample-ring.ts';
import { WorkerLink } from './worker-link.ts';
import type { WorkerNews } from './worker-link.ts';
import type {
  Activation,
  DetectorSpec,
  PipelineSnapshot,
  PipelineStats,
  PreparedDetector,
  ProviderProbe,
  RequestName,
  WorkerRequests,
} from './worker-messages.ts';

export interface AnomalyNews {
  readonly pipeline: string;
  /** Key of the detector that found it. */
  readonly key: string;
  readonly provider: string;
  readonly update: AnomalyUpdate;
}

export interface FaultNews {
  readonly pipeline: string;
  readonly key: string;
  readonly code: PathFault['code'] | 'restore-failed';
  readonly message: string;
}

/** What the host reports. */
export interface InferenceListener {
  onAnomaly(news: AnomalyNews): void;
  onStats?(stats: PipelineStats): void;
  onFault?(news: FaultNews): void;
  /** The worker died; it is started again by itself. */
  onWorkerLost?(reason: string): void;
}

export interface InferenceHostOptions {
  readonly listener: InferenceListener;
  /** Package or path of ONNX Runtime, for boards with an own build. */
  readonly runtimePackage?: string | undefined;
  /** The worker's script; to be given where this package was bundled. */
  readonly workerUrl?: URL | undefined;
  /** Limits of the worker's heap. Tensors and models are outside of it. */
  readonly resourceLimits?: ResourceLimits | undefined;
  /** Default 1 s. */
  readonly statsIntervalMs?: number | undefined;
}

/** Small on purpose: buffers live outside, and a heap that may not grow is collected instead. */
const DEFAULT_LIMITS: ResourceLimits = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 };

/**
 * The main thread's side of inference. Loads detectors into a worker, feeds it samples through shared memory, and brings
 * a worker that died back with everything it had: pipelines, prepared detectors, the one that served and its memory.
 *
 * INVARIANTS
 * - A sample that `push` took is processed, unless the process ends: the ring outlives the worker.
 * - An update of an anomaly arrives together with the memory that made it, so after a restart the same anomaly goes on
 *   under the same id.
 */
export class InferenceHost {
  readonly #options: InferenceHostOptions;
  readonly #listener: InferenceListener;
  readonly #pipelines = new Map<string, HostedPipeline>();
  readonly #backoff = new Backoff(100, 30_000);
  #link: WorkerLink | null = null;
  #ready: Promise<void> = unavailable('Inference was not started');
  /** Ends the waiting between two tries to come back. */
  #life = new AbortController();
  #comingBack = false;
  #nextIndex = 0;

  constructor(options: InferenceHostOptions) {
    this.#options = options;
    this.#listener = options.listener;
  }

  /** Starts the worker. @throws InferenceWorkerLostError when it does not come up */
  async start(): Promise<void> {
    this.#life = new AbortController();
    this.#ready = this.#spawn();
    await this.#ready;
  }

  /**
   * Ends the worker between two runs. Anomalies stay open; take a `snapshot` before to go on with them later. Always to
   * be awaited before the process exits: a thread that ends inside of ONNX Runtime aborts the process.
   */
  async stop(): Promise<void> {
    this.#life.abort();
    const ready = this.#ready;
    this.#ready = unavailable('Inference was stopped');
    await ready.catch(() => undefined);
    await this.#link?.close();
    this.#link = null;
  }

  /**
   * Replaces the worker by a fresh one, against slow leaks in native code. No sample and no state is lost; a benchmark
   * that was under way fails.
   */
  async recycle(): Promise<void> {
    await this.#ready;
    this.#comingBack = true;
    this.#ready = this.#replace();
    await this.#ready;
  }

  /** @throws PipelineExistsError */
  async addPipeline(options: HostedPipelineOptions): Promise<void> {
    if (this.#pipelines.has(options.name)) {
      throw new PipelineExistsError(`There is a pipeline "${options.name}" already`);
    }
    const pipeline = new HostedPipeline(options, (this.#nextIndex += 1));
    this.#pipelines.set(options.name, pipeline);
    try {
      await this.#request('add', pipeline.announcement(false));
    } catch (error) {
      this.#pipelines.delete(options.name);
      throw error;
    }
  }

  /** Closes what is open and releases the pipeline's detectors. */
  async removePipeline(name: string): Promise<void> {
    this.#pipelineOf(name);
    await this.#request('remove', { pipeline: name });
    this.#pipelines.delete(name);
  }

  /**
   * Loads and checks a detector beside the one that serves.
   *
   * @throws InvalidGraphError, ModelDamagedError, ModelSizeError, DetectorContractError, SignatureMismatchError,
   *   RuntimeUnavailableError, DetectorExistsError
   */
  async prepare(pipeline: string, spec: DetectorSpec): Promise<PreparedDetector> {
    const hosted = this.#pipelineOf(pipeline);
    const prepared = await this.#request('prepare', { pipeline, spec });
    hosted.specs.set(spec.key, spec);
    return prepared;
  }

  /** @throws GoldenMismatchError, DetectorInUseError */
  checkGolden(pipeline: string, key: string, vectors: GoldenVectors): Promise<GoldenReport> {
    return this.#request('golden', { pipeline, key, vectors });
  }

  /** Measures bare runs of a prepared detector; the serving one goes on in between. @throws DetectorInUseError */
  benchmark(pipeline: string, key: string, options: BenchmarkOptions = {}): Promise<BenchmarkReport> {
    return this.#request('benchmark', { pipeline, key, options });
  }

  /**
   * Makes a prepared detector the one that serves, between two samples. The former stays prepared, so that activating it
   * again is the way back.
   *
   * @param state from a snapshot of the same detector, to go on with after the process was restarted
   */
  async activate(pipeline: string, key: string, state: PathState | null = null): Promise<Activation> {
    const hosted = this.#pipelineOf(pipeline);
    const activation = await this.#request('activate', { pipeline, key, state });
    hosted.serve(key, activation.snapshot);
    return activation;
  }

  /** Releases a detector that does not serve. @throws DetectorInUseError, UnknownDetectorError */
  async discard(pipeline: string, key: string): Promise<void> {
    const hosted = this.#pipelineOf(pipeline);
    await this.#request('discard', { pipeline, key });
    hosted.specs.delete(key);
  }

  /**
   * Hands a sample over. Works while the worker is being restarted: samples wait.
   *
   * @param timeMs the sample's own time
   * @param values one per channel of the pipeline; NaN is missing
   * @returns false when the queue is full and the sample was refused (counted in `refused`)
   */
  push(pipeline: string, timeMs: number, values: ArrayLike<number>): boolean {
    const hosted = this.#pipelineOf(pipeline);
    const taken = hosted.writer.write(timeMs, monotonicMs(), values);
    if (hosted.writer.takeSleeping()) this.#link?.ring(hosted.index);
    return taken;
  }

  /** Samples of a pipeline that wait, and that were refused so far. */
  queueOf(pipeline: string): { pending: number; refused: number } {
    const { pending, refused } = this.#pipelineOf(pipeline).writer;
    return { pending, refused };
  }

  /** The memory of a pipeline, to persist; null while nothing serves. */
  snapshot(pipeline: string): Promise<PipelineSnapshot | null> {
    return this.#request('snapshot', { pipeline });
  }

  /** The figures of now; null while nothing serves. */
  stats(pipeline: string): Promise<PipelineStats | null> {
    return this.#request('stats', { pipeline });
  }

  /** Which execution providers really work here. @throws RuntimeUnavailableError */
  probeProviders(providers: readonly string[]): Promise<ProviderProbe[]> {
    return this.#request('probe', { providers });
  }

  #pipelineOf(name: string): HostedPipeline {
    const pipeline = this.#pipelines.get(name);
    if (pipeline === undefined) throw new UnknownPipelineError(`There is no pipeline "${name}"`);
    return pipeline;
  }

  /** Requests wait for a worker that is coming back. */
  async #request<K extends RequestName>(
    name: K,
    args: WorkerRequests[K]['args'],
  ): Promise<WorkerRequests[K]['answer']> {
    await this.#ready;
    return this.#link!.request(name, args);
  }

  async #spawn(): Promise<void> {
    const link = new WorkerLink({
      url: this.#options.workerUrl ?? ownWorkerUrl(),
      setup: {
        runtimePackage: this.#options.runtimePackage,
        statsIntervalMs: this.#options.statsIntervalMs ?? 1_000,
      },
      resourceLimits: this.#options.resourceLimits ?? DEFAULT_LIMITS,
      onNews: (news) => this.#onNews(news),
      onLost: (reason) => this.#onLost(reason),
    });
    this.#link = link;
    await link.start();
  }

  #onLost(reason: string): void {
    // While everything is brought back, a request that fails says the same.
    if (this.#comingBack) return;
    this.#listener.onWorkerLost?.(reason);
    this.#ready = this.#comeBack();
    this.#ready.catch(() => undefined);
  }

  async #replace(): Promise<void> {
    const parked = (await this.#link?.close()) ?? [];
    for (const { pipeline, snapshot } of parked) this.#pipelines.get(pipeline)?.keep(snapshot);
    await this.#revive().catch(() => this.#comeBack());
  }

  /** Tries until a worker is up again, with everything the last one had. */
  async #comeBack(): Promise<void> {
    this.#comingBack = true;
    for (;;) {
      await sleep(this.#backoff.next(), this.#life.signal);
      try {
        await this.#revive();
        return;
      } catch (error) {
        if (!(error instanceof InferenceWorkerLostError)) throw error;
        this.#listener.onWorkerLost?.(error.message);
      }
    }
  }

  async #revive(): Promise<void> {
    await this.#spawn();
    for (const pipeline of this.#pipelines.values()) await this.#restore(pipeline);
    this.#comingBack = false;
  }

  async #restore(pipeline: HostedPipeline): Promise<void> {
    const { servingKey, snapshot, specs } = pipeline;
    const name = pipeline.setup.name;
    if (snapshot !== null) pipeline.writer.rewind(snapshot.position);
    let key = servingKey ?? '';
    try {
      await this.#link!.request('add', pipeline.announcement(servingKey !== null));
      for (const spec of specs.values()) {
        key = spec.key;
        await this.#link!.request('prepare', { pipeline: name, spec });
      }
      if (servingKey === null) return;
      await this.#link!.request('activate', { pipeline: name, key: servingKey, state: snapshot?.state ?? null });
    } catch (error) {
      if (error instanceof InferenceWorkerLostError) throw error;
      this.#listener.onFault?.({ pipeline: name, key, code: 'restore-failed', message: messageOf(error) });
    }
  }

  #onNews(news: WorkerNews): void {
    switch (news.type) {
      case 'anomaly': {
        const { pipeline, key, provider, update, snapshot } = news;
        this.#pipelines.get(pipeline)?.keep(snapshot);
        this.#listener.onAnomaly({ pipeline, key, provider, update });
        break;
      }
      case 'stats':
        this.#pipelines.get(news.stats.pipeline)?.keep(news.snapshot);
        this.#backoff.reset();
        this.#listener.onStats?.(news.stats);
        break;
      case 'fault': {
        const { pipeline, key, fault } = news;
        this.#listener.onFault?.({ pipeline, key, code: fault.code, message: fault.message });
        break;
      }
    }
  }
}

/** A promise to wait on that nobody has to. */
function unavailable(reason: string): Promise<never> {
  const promise = Promise.reject(new InferenceWorkerLostError(reason));
  promise.catch(() => undefined);
  return promise;
}

/** Beside this file, in the language that this file is in. */
function ownWorkerUrl(): URL {
  return new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);
}
