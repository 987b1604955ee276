import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Anomaly, BenchmarkMessage, DesiredPipeline, ExecutionReport } from '@drover/contracts';
import { desiredStateSchema } from '@drover/contracts';
import { InternalError, silentLogger, systemClock, writeFileAtomic } from '@drover/runtime';
import { PipelineService } from '../pipelines/pipeline.service.ts';
import { PipelineStateStore } from '../pipelines/pipeline-state.store.ts';
import { ArtifactShelf } from './artifact-shelf.ts';
import { CHANNELS, FLEET } from './release.fixture.ts';
import type { ReleaseSource } from './release.fixture.ts';
import type { FetchArtifact } from './candidate-trials.ts';
import { UpdateJournal } from './update-journal.ts';
import { UpdateService } from './update.service.ts';

export interface WorkbenchOptions {
  readonly source: ReleaseSource;
  /** A folder to go on with; it is copied. */
  readonly from?: string;
  readonly fetch?: FetchArtifact;
  readonly probationMs?: number;
  readonly memoryBytes?: number;
  readonly roomBytes?: number;
  readonly temperatureC?: number;
  /** Called before the journal is replaced. */
  readonly onJournal?: (folder: string) => Promise<void>;
}

/** The agent's updates on real files with real inference, without its network. */
export class Workbench {
  readonly folder: string;
  readonly journal: UpdateJournal;
  readonly updates: UpdateService;
  readonly pipelines: PipelineService;
  readonly shelf: ArtifactShelf;
  readonly reports: ExecutionReport[] = [];
  readonly benchmarks: BenchmarkMessage['benchmark'][] = [];
  readonly anomalies: Anomaly[] = [];
  readonly logs: string[] = [];
  /** For what is wanted from now on. */
  probationMs: number;
  #changed: () => void = () => undefined;
  #timeMs = 1_000_000;

  private constructor(folder: string, options: WorkbenchOptions) {
    this.folder = folder;
    this.probationMs = options.probationMs ?? 0;
    this.shelf = new ArtifactShelf(join(folder, 'artifacts'));
    this.journal = new UpdateJournal(join(folder, 'journal.json'), silentLogger, async (path, text) => {
      await options.onJournal?.(folder);
      await writeFileAtomic(path, text);
    });
    const reporter = {
      execution: (report: ExecutionReport) => void this.reports.push(report),
      benchmark: (benchmark: BenchmarkMessage['benchmark']) => void this.benchmarks.push(benchmark),
      anomaly: (anomaly: Anomaly) => {
        this.anomalies.push(anomaly);
        this.#changed();
      },
      log: (_level: string, code: string) => void this.logs.push(code),
    };
    this.pipelines = new PipelineService({
      sources: [{ name: 'pump', channels: [...CHANNELS, 'unused'], rateHz: 1 }],
      host: {},
      threads: 1,
      states: new PipelineStateStore(join(folder, 'state'), silentLogger),
      reporter,
      logger: silentLogger,
      onTrouble: (pipeline) => this.updates.onTrouble(pipeline),
    });
    this.updates = new UpdateService({
      journal: this.journal,
      shelf: this.shelf,
      engine: this.pipelines,
      fetch: options.fetch ?? options.source.fetchInto(this.shelf.folder),
      reporter,
      fleet: FLEET,
      memoryBytes: async () => options.memoryBytes ?? 2 ** 30,
      roomBytes: async () => options.roomBytes ?? 2 ** 30,
      temperatureC: async () => options.temperatureC ?? null,
      keySet: () => options.source.keySet,
      pipelines: ['pump'],
      clock: systemClock,
      logger: silentLogger,
      onChanged: () => this.#changed(),
    });
  }

  static async open(options: WorkbenchOptions): Promise<Workbench> {
    const folder = await mkdtemp(join(tmpdir(), 'drover-updates-'));
    if (options.from !== undefined) await cp(options.from, folder, { recursive: true });
    await mkdir(join(folder, 'artifacts'), { recursive: true });
    await mkdir(join(folder, 'state'), { recursive: true });
    const bench = new Workbench(folder, options);
    await bench.journal.open();
    await bench.pipelines.start();
    await bench.updates.start();
    return bench;
  }

  /** Tells what is wanted, and waits until the device has come to rest. */
  async want(target: DesiredPipeline | null, others: Record<string, DesiredPipeline> = {}): Promise<void> {
    this.wish(target, others);
    await this.rest();
  }

  wish(target: DesiredPipeline | null, others: Record<string, DesiredPipeline> = {}): void {
    const desired = desiredStateSchema.parse({
      format: 'drover.desired/1',
      keys: { kind: 'keys', payload: {}, signatures: [{ keyId: 'root', signature: 'AA' }] },
      pipelines: { ...others, ...(target !== null && { pump: target }) },
      config: { probationMs: this.probationMs },
    });
    this.updates.setDesired(desired);
  }

  /** Until a condition holds, looked at after every step. */
  async until(condition: () => boolean, withinMs = 15_000): Promise<void> {
    const deadline = Date.now() + withinMs;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new InternalError(`not within ${withinMs} ms: ${condition.toString()}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 20));
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  rest(): Promise<void> {
    return this.until(() => this.updates.resting);
  }

  /** Samples of both channels, one second of their time apart. */
  feed(value: number, count: number): void {
    for (let i = 0; i < count; i += 1) {
      this.#timeMs += 1_000;
      this.pipelines.push('pump', { timeMs: this.#timeMs, values: Float32Array.from([value, value, 0]) });
    }
  }

  get serving(): string | null {
    return this.journal.get('pump').serving?.release ?? null;
  }

  /** The pipeline's reports as `STATUS step reason`. */
  get story(): string[] {
    return this.reports.map((report) =>
      [report.status, report.step, report.reason].filter((part) => part !== null).join(' '),
    );
  }

  async damage(digest: string): Promise<void> {
    await writeFile(this.shelf.path(digest), 'damaged');
  }

  async stop(): Promise<void> {
    await this.updates.stop();
    await this.pipelines.stop();
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
