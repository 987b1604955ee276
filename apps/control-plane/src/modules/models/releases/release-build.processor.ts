import { manifestSchema } from '@drover/contracts';
import type { Manifest, Release } from '@drover/contracts';
import type { BuiltRelease } from '@drover/factory';
import { DroverError, messageOf, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { canonicalBytes, signDocument } from '@drover/trust';
import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { Database } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { KeyStore } from '../../../platform/keys/key-store.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { Queues } from '../../../platform/queue/queues.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import { MeasurementReader } from '../../telemetry/query/measurement-reader.service.ts';
import { ArtifactRepository } from '../artifacts/artifact.repository.ts';
import { ModelRepository } from '../model.repository.ts';
import { ReleaseUnbuildableError, buildInThread } from './release-builder.ts';
import type { BuildRequest } from './release-builder.ts';
import { ReleaseRepository } from './release.repository.ts';
import { BUILD_JOB, BUILD_QUEUE, ReleaseService } from './release.service.ts';

export const MODEL_MEDIA_TYPE = 'application/x-onnx';
export const MANIFEST_MEDIA_TYPE = 'application/vnd.drover.manifest+json';

const MAX_TRAINING_ROWS = 1_000_000;
/** Attempts that fail by the world, not by the data, before a release is given up. */
const MAX_ATTEMPTS = 3;

/** Builds releases from their rows: trains, stores the artifacts, signs the manifest. */
@Injectable()
export class ReleaseBuildProcessor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stopping = new AbortController();
  readonly #attempts = new Map<string, number>();
  #loop: Promise<void> | undefined;

  constructor(
    private readonly config: Config,
    private readonly database: Database,
    private readonly queues: Queues,
    private readonly service: ReleaseService,
    private readonly releases: ReleaseRepository,
    private readonly models: ModelRepository,
    private readonly artifacts: ArtifactRepository,
    private readonly store: ArtifactStore,
    private readonly measurements: MeasurementReader,
    private readonly keys: KeyStore,
    private readonly events: EventOutbox,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.config.hasRole('worker')) return;
    this.queues.process(BUILD_QUEUE, this.config.queue.DROVER_MAX_RELEASE_BUILDS, {
      [BUILD_JOB]: ({ fleet, id }, signal) => this.build(String(fleet), String(id), signal),
    });
    this.#loop = this.#reconcile();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** One build, from the row. Does nothing where it has ended already. */
  async build(fleet: string, id: string, signal: AbortSignal): Promise<void> {
    const release = await this.releases.find(fleet, id);
    if (!release || release.status !== 'BUILDING' || !release.training) return;
    try {
      const request = await this.#request(fleet, release);
      const built = await buildInThread(
        request,
        (progress, phase) => void this.#progress(fleet, id, progress, phase),
        AbortSignal.any([signal, this.#stopping.signal]),
      );
      await this.#finish(fleet, release, built);
    } catch (error) {
      if (signal.aborted || this.#stopping.signal.aborted) return;
      await this.#failed(fleet, id, error);
    }
  }

  async #request(fleet: string, release: Release): Promise<BuildRequest> {
    const { source, evaluation, seed, trainRows, window, stride, explainedVariance } = release.training!;
    const file = (digest: string) => ({ digest, path: this.store.path(digest) });
    const trainedOn = new Set(source.kind === 'recordings' ? source.artifacts : []);
    return {
      source:
        source.kind === 'recordings'
          ? { kind: 'files', files: source.artifacts.map(file) }
          : { kind: 'recording', recording: await this.measurements.load(fleet, source, MAX_TRAINING_ROWS) },
      evaluation: evaluation.map((digest) => ({ file: file(digest), trainedOn: trainedOn.has(digest) })),
      options: { seed, trainRows, window, stride, explainedVariance },
    };
  }

  async #finish(fleet: string, release: Release, built: BuiltRelease): Promise<void> {
    const model = (await this.models.find(fleet, release.model))!;
    const manifest: Manifest = manifestSchema.parse({
      ...built.manifestDraft,
      fleet,
      model: { id: model.id, name: model.name },
      release: { id: release.id, version: release.version },
      createdAt: new Date().toISOString(),
    });
    // Bytes before rows: a row always has its bytes. Bytes without a row are found again by their digest.
    const stored = await Promise.all(built.artifacts.map((artifact) => this.store.putBytes(artifact.bytes)));
    const signed = await this.store.putBytes(
      canonicalBytes(signDocument('manifest', manifest, this.keys.signers('manifest'))),
    );
    await this.database.transaction(async (tx) => {
      if (!(await this.releases.ready(tx, fleet, release.id, manifest, signed.digest))) return;
      for (const artifact of stored) await this.artifacts.record(tx, fleet, artifact, MODEL_MEDIA_TYPE);
      await this.artifacts.record(tx, fleet, signed, MANIFEST_MEDIA_TYPE);
      await this.events.append(tx, {
        fleet,
        type: 'release.ready',
        subject: release.id,
        data: { model: model.id, version: release.version, report: built.report },
      });
    });
  }

  async #progress(fleet: string, id: string, progress: number, phase: string): Promise<void> {
    try {
      await this.releases.progress(fleet, id, progress, phase);
    } catch {
      // Only information; the build goes on.
    }
  }

  async #failed(fleet: string, id: string, error: unknown): Promise<void> {
    const attempts = (this.#attempts.get(id) ?? 0) + 1;
    this.#attempts.set(id, attempts);
    // Bad data stays bad; anything else is tried again by the queue or the reconciler, a few times.
    const reason = finalReasonOf(error);
    if (reason === undefined && attempts < MAX_ATTEMPTS) throw error;
    this.#attempts.delete(id);
    const code = reason ?? 'build-failed';
    this.logger.warn({ fleet, release: id, code, err: messageOf(error) }, 'A release could not be built');
    await this.database.transaction(async (tx) => {
      if (!(await this.releases.failed(tx, fleet, id, code, messageOf(error)))) return;
      await this.events.append(tx, {
        fleet,
        type: 'release.failed',
        subject: id,
        data: { code, message: messageOf(error) },
      });
    });
  }

  /** Derives missing jobs from rows: a build whose job was lost, with the queue or with a worker, is asked for again. */
  async #reconcile(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        for (const { fleet, id } of await this.releases.building()) await this.service.enqueueBuild(fleet, id);
      } catch (error) {
        this.logger.debug({ err: messageOf(error) }, 'Builds could not be reconciled; trying again');
      }
      await sleep(this.config.queue.DROVER_RECONCILE_EVERY, signal).catch(() => undefined);
    }
  }
}

/** Why no further attempt can do better; undefined where one may. */
function finalReasonOf(error: unknown): string | undefined {
  if (error instanceof ReleaseUnbuildableError) return error.reason;
  return error instanceof DroverError && error.fault === 'caller' ? error.code : undefined;
}
