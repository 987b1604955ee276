import { variantDigest } from '@drover/contracts';
import type { DesiredPipeline, ExecutionReason, KeySet, Manifest } from '@drover/contracts';
import { InternalError, messageOf } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import type { EventReporter } from '../telemetry/event-reporter.ts';
import type { ArtifactName, ArtifactShelf } from './artifact-shelf.ts';
import { nextReport } from './execution-news.ts';
import type { ExecutionNews } from './execution-news.ts';
import { calibrationFor, targetKey } from './planner.ts';
import type { Step } from './planner.ts';
import { readManifest, readStoredManifest } from './read-manifest.ts';
import type { ReadyRelease, ReleaseEngine } from './release-engine.ts';
import { fastest, selectVariants } from './select-variants.ts';
import type { Measured } from './select-variants.ts';
import { ReleaseDowngradeError, reasonOf } from './update-errors.ts';
import type { UpdateJournal } from './update-journal.ts';
import type { Attempt, PipelineRecord, ServedRelease } from './update-records.ts';

/**
 * Brings an artifact to `path`, resuming what an interruption left.
 *
 * @param onBytes bytes that have arrived so far
 */
export type FetchArtifact = (
  artifact: ArtifactName,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
) => Promise<void>;

export interface ExecutorParts {
  readonly journal: UpdateJournal;
  readonly shelf: ArtifactShelf;
  readonly engine: ReleaseEngine;
  readonly fetch: FetchArtifact;
  readonly reporter: Pick<EventReporter, 'execution' | 'benchmark' | 'log'>;
  readonly fleet: string;
  /** Memory of the (perhaps simulated) board. */
  readonly memoryBytes: () => Promise<number>;
  readonly keySet: () => KeySet;
  readonly probationMs: () => number;
  /** Has artifacts removed that nothing needs any more, at some time. */
  readonly sweep: () => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

const PROGRESS_EVERY_MS = 2_000;
const RETRY_BASE_MS = 60_000;
const RETRY_CAP_MS = 3_600_000;

/** Does what the planner decides, one step of one pipeline at a time, writing the journal before it tells of anything. */
export class StepExecutor {
  readonly #parts: ExecutorParts;

  constructor(parts: ExecutorParts) {
    this.#parts = parts;
  }

  /** @throws whatever stops the step; `fail` then ends the attempt */
  async execute(pipeline: string, step: Exclude<Step, { type: 'idle' | 'wait' }>, signal: AbortSignal): Promise<void> {
    switch (step.type) {
      case 'begin':
        return this.#begin(pipeline, step.target);
      case 'confirm':
        return this.#confirm(pipeline, step.target);
      case 'refuse':
        return this.#refuse(pipeline, step.target, step.reason, step.message);
      case 'abandon':
        return this.#abandon(pipeline);
      case 'resolve':
        return this.#resolve(pipeline, this.#attempt(pipeline), signal);
      case 'download':
        return this.#download(pipeline, this.#attempt(pipeline), signal);
      case 'verify':
        return this.#verify(pipeline, this.#attempt(pipeline), signal);
      case 'benchmark':
        return this.#benchmark(pipeline, this.#attempt(pipeline), signal);
      case 'activate':
        return this.#activate(pipeline, this.#attempt(pipeline));
      case 'commit':
        return this.#commit(pipeline, this.#attempt(pipeline));
      case 'fail':
        return this.fail(pipeline, step.reason, step.message);
      case 'clear':
        return this.#clear(pipeline);
    }
  }

  /** Ends the attempt, if there is one: what served before serves again. */
  async fail(pipeline: string, reason: ExecutionReason, message: string): Promise<void> {
    const { attempt } = this.#parts.journal.get(pipeline);
    if (attempt === null) return;
    await this.#putBack(pipeline, attempt);
    await this.#refuse(pipeline, attempt.target, reason, message);
  }

  /**
   * A served release with its files, checked against their digests.
   *
   * @throws ArtifactDamagedError, ManifestInvalidError
   */
  async ready(served: ServedRelease): Promise<ReadyRelease> {
    const manifest = readStoredManifest(await this.#parts.shelf.read(served.manifest));
    const ready = this.#readyOf(manifest, served);
    for (const artifact of ready.variant.artifacts) await this.#parts.shelf.check(artifact);
    return ready;
  }

  async #begin(pipeline: string, target: DesiredPipeline): Promise<void> {
    this.#parts.logger.info({ pipeline, release: target.release, execution: target.execution }, 'update begins');
    const attempt: Attempt = {
      target,
      phase: 'begun',
      variants: [],
      chosen: null,
      activations: 0,
      probationEndsAt: null,
    };
    await this.#move(pipeline, target, { attempt }, { status: 'IN_PROGRESS', step: 'DOWNLOADING', progress: 0 });
  }

  async #resolve(pipeline: string, attempt: Attempt, signal: AbortSignal): Promise<void> {
    const { shelf, engine, keySet, fleet, clock, memoryBytes, journal } = this.#parts;
    const { target } = attempt;
    if (!(await shelf.has(target.manifest))) await this.#parts.fetch(target.manifest, () => undefined, signal);
    const bytes = await shelf.read(target.manifest);
    const manifest = readManifest(bytes, target, { fleet, keySet: keySet(), now: clock.now() });
    const { serving } = journal.get(pipeline);
    const older = serving?.model === manifest.model.id && target.releaseVersion < serving.releaseVersion;
    if (older && target.rollback !== true) {
      throw new ReleaseDowngradeError(
        `Version ${target.releaseVersion} is older than ${serving.releaseVersion}, which serves, and is not signed as a rollback`,
      );
    }
    const offer = { channels: engine.channels(pipeline), memoryBytes: await memoryBytes() };
    const variants = selectVariants(manifest, target, offer);
    const names = variants.map((variant) => variant.name);
    await this.#move(pipeline, target, { attempt: { ...attempt, phase: 'resolved', variants: names } });
  }

  async #download(pipeline: string, attempt: Attempt, signal: AbortSignal): Promise<void> {
    const { shelf, clock } = this.#parts;
    const { target } = attempt;
    const wanted = (await this.#releasesOf(attempt)).flatMap(({ variant }) => variant.artifacts);
    const artifacts = [...new Map(wanted.map((artifact) => [artifact.digest, artifact])).values()];
    const totalBytes = artifacts.reduce((sum, artifact) => sum + artifact.sizeBytes, 0);
    let doneBytes = 0;
    let toldAt = clock.monotonic();
    let telling = Promise.resolve();
    const tell = (bytes: number): void => {
      if (clock.monotonic() - toldAt < PROGRESS_EVERY_MS || target.execution === null) return;
      toldAt = clock.monotonic();
      const news = { status: 'IN_PROGRESS', step: 'DOWNLOADING', progress: Math.min(1, bytes / totalBytes) } as const;
      telling = this.#move(pipeline, target, {}, news).catch(() => undefined);
    };
    for (const artifact of artifacts) {
      if (!(await shelf.has(artifact))) {
        await this.#parts.fetch(artifact, (bytes) => tell(doneBytes + bytes), signal).finally(() => telling);
      }
      doneBytes += artifact.sizeBytes;
    }
    const news = { status: 'IN_PROGRESS', step: 'DOWNLOADED', progress: 1 } as const;
    await this.#move(pipeline, target, { attempt: { ...attempt, phase: 'downloaded' } }, news);
  }

  async #verify(pipeline: string, attempt: Attempt, signal: AbortSignal): Promise<void> {
    const passed = await this.#eachVariant(pipeline, attempt, signal, async (release) => {
      for (const artifact of release.variant.artifacts) await this.#parts.shelf.check(artifact);
      await this.#parts.engine.verify(pipeline, release, signal);
    });
    const variants = passed.map(({ release }) => release.variant.name);
    const news = { status: 'IN_PROGRESS', step: 'VERIFIED' } as const;
    await this.#move(pipeline, attempt.target, { attempt: { ...attempt, phase: 'verified', variants } }, news);
  }

  async #benchmark(pipeline: string, attempt: Attempt, signal: AbortSignal): Promise<void> {
    const { engine, reporter, clock } = this.#parts;
    await this.#move(pipeline, attempt.target, {}, { status: 'IN_PROGRESS', step: 'BENCHMARKING' });
    const measured = await this.#eachVariant(pipeline, attempt, signal, async (release) => {
      const benchmark = await engine.benchmark(pipeline, release, signal);
      const { served } = release;
      const { release: id, variant, variantDigest: digest } = served;
      reporter.benchmark({ pipeline, release: id, variant, variantDigest: digest, ...benchmark, at: clock.now() });
      return benchmark;
    });
    const best = fastest(
      measured.map(({ release, result }): Measured => ({ variant: release.variant.name, p50Us: result.p50Us })),
    );
    const { release, result } = measured.find((one) => one.release.variant.name === best.variant)!;
    const chosen = { ...release.served, provider: result.provider };
    await this.#move(pipeline, attempt.target, { attempt: { ...attempt, phase: 'benchmarked', chosen } });
  }

  async #activate(pipeline: string, attempt: Attempt): Promise<void> {
    const { engine, clock, probationMs } = this.#parts;
    const chosen = attempt.chosen!;
    const release = await this.ready(chosen);
    const about = { variant: chosen.variant, variantDigest: chosen.variantDigest };
    const begun: Attempt = { ...attempt, phase: 'activating', activations: attempt.activations + 1 };
    await this.#move(
      pipeline,
      attempt.target,
      { attempt: begun },
      { status: 'IN_PROGRESS', step: 'ACTIVATING', ...about },
    );
    let provider: string | null;
    try {
      provider = await engine.activate(pipeline, release);
    } catch (error) {
      return this.fail(pipeline, 'activation-failed', messageOf(error));
    }
    const probation: Attempt = {
      ...begun,
      phase: 'probation',
      chosen: { ...chosen, provider },
      probationEndsAt: clock.monotonic() + probationMs(),
    };
    const news = { status: 'IN_PROGRESS', step: 'PROBATION', ...about, provider } as const;
    await this.#move(pipeline, attempt.target, { attempt: probation }, news);
  }

  async #commit(pipeline: string, attempt: Attempt): Promise<void> {
    const { journal, logger } = this.#parts;
    const { serving, previous } = journal.get(pipeline);
    const chosen = attempt.chosen!;
    const { variant, variantDigest: digest, provider } = chosen;
    const changes = { serving: chosen, previous: serving ?? previous, attempt: null, refused: null };
    await this.#move(pipeline, attempt.target, changes, {
      status: 'SUCCEEDED',
      variant,
      variantDigest: digest,
      provider,
    });
    logger.info({ pipeline, release: chosen.release, variant, provider }, 'update succeeded');
    await this.#parts.engine.settle(pipeline);
    this.#parts.sweep();
  }

  async #confirm(pipeline: string, target: DesiredPipeline): Promise<void> {
    const serving = { ...this.#parts.journal.get(pipeline).serving!, rollout: target.rollout };
    const { variant, variantDigest: digest, provider } = serving;
    const news = { status: 'SUCCEEDED', variant, variantDigest: digest, provider } as const;
    await this.#move(pipeline, target, { serving, refused: null }, news);
    this.#parts.engine.relabel(pipeline, serving);
  }

  async #refuse(pipeline: string, target: DesiredPipeline, reason: ExecutionReason, message: string): Promise<void> {
    const { journal, clock, logger, reporter } = this.#parts;
    const { refused, attempt } = journal.get(pipeline);
    const key = targetKey(target);
    const failures = refused?.key === key ? refused.failures + 1 : 1;
    // An execution is over when it failed. What nobody watches is tried again, ever more slowly.
    const pauseMs = Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** (failures - 1));
    const retryAt = target.execution === null ? clock.now() + pauseMs : null;
    logger.error({ pipeline, release: target.release, reason }, `update failed: ${message}`);
    if (target.execution === null) {
      reporter.log('error', reason, `Pipeline ${pipeline} could not take release ${target.release}: ${message}`);
    }
    const changes = { attempt: null, refused: { key, reason, message, failures, retryAt } };
    const chosen = attempt?.chosen ?? null;
    await this.#move(pipeline, target, changes, {
      status: reason === 'pipeline-unknown' ? 'REJECTED' : 'FAILED',
      step: attempt === null ? null : (journal.get(pipeline).report?.step ?? null),
      reason,
      message,
      variant: chosen?.variant ?? null,
      variantDigest: chosen?.variantDigest ?? null,
      provider: chosen?.provider ?? null,
    });
    this.#parts.sweep();
  }

  async #abandon(pipeline: string): Promise<void> {
    const attempt = this.#attempt(pipeline);
    this.#parts.logger.info(
      { pipeline, release: attempt.target.release },
      'update abandoned: something else is wanted',
    );
    await this.#putBack(pipeline, attempt);
    const news = { status: 'CANCELED', reason: 'superseded' } as const;
    await this.#move(pipeline, attempt.target, { attempt: null }, news);
  }

  async #clear(pipeline: string): Promise<void> {
    const { journal, engine } = this.#parts;
    await engine.activate(pipeline, null);
    const record = journal.get(pipeline);
    await journal.set(pipeline, { ...record, previous: record.serving, serving: null, refused: null });
    this.#parts.sweep();
  }

  /** What ran before an attempt that has got as far as replacing it. */
  async #putBack(pipeline: string, attempt: Attempt): Promise<void> {
    if (attempt.phase !== 'activating' && attempt.phase !== 'probation') return;
    const { engine, journal, logger } = this.#parts;
    const record = journal.get(pipeline);
    try {
      await engine.activate(pipeline, record.serving === null ? null : await this.ready(record.serving));
      await engine.settle(pipeline);
    } catch (error) {
      // Better no detection, which the server sees, than a release that was found wanting. It is fetched anew.
      logger.error({ pipeline, release: record.serving?.release }, `cannot go back: ${messageOf(error)}`);
      await engine.activate(pipeline, null);
      await journal.set(pipeline, { ...record, serving: null, previous: record.serving });
    }
  }

  /** Runs a check over every variant in question; those that fail leave. @throws the first failure, where none is left */
  async #eachVariant<T>(
    pipeline: string,
    attempt: Attempt,
    signal: AbortSignal,
    check: (release: ReadyRelease) => Promise<T>,
  ): Promise<{ release: ReadyRelease; result: T }[]> {
    const passed: { release: ReadyRelease; result: T }[] = [];
    let failure: unknown = null;
    for (const release of await this.#releasesOf(attempt)) {
      try {
        passed.push({ release, result: await check(release) });
      } catch (error) {
        signal.throwIfAborted();
        failure ??= error;
        const { name } = release.variant;
        this.#parts.logger.warn(
          { pipeline, variant: name, reason: reasonOf(error) },
          `variant refused: ${messageOf(error)}`,
        );
      }
    }
    if (passed.length === 0) throw failure ?? new InternalError('An attempt without variants cannot go on');
    return passed;
  }

  async #releasesOf(attempt: Attempt): Promise<ReadyRelease[]> {
    const { target } = attempt;
    const manifest = readStoredManifest(await this.#parts.shelf.read(target.manifest));
    return attempt.variants.map((name) => {
      const variant = manifest.variants.find((one) => one.name === name)!;
      const digest = variantDigest(variant);
      return this.#readyOf(manifest, {
        model: manifest.model.id,
        release: target.release,
        releaseVersion: target.releaseVersion,
        rollout: target.rollout,
        manifest: target.manifest,
        variant: name,
        variantDigest: digest,
        provider: null,
        calibration: calibrationFor(target, digest),
      });
    });
  }

  #readyOf(manifest: Manifest, served: ServedRelease): ReadyRelease {
    const variant = manifest.variants.find((one) => one.name === served.variant);
    if (variant === undefined) throw new InternalError(`The manifest has no variant ${served.variant}`);
    return { served, manifest, variant, modelPath: this.#parts.shelf.path(served.variantDigest) };
  }

  #attempt(pipeline: string): Attempt {
    const { attempt } = this.#parts.journal.get(pipeline);
    if (attempt === null) throw new InternalError(`Pipeline ${pipeline} has no attempt to continue`);
    return attempt;
  }

  /** Journal first, then the news of it: a report that left is never taken back by a power cut. */
  async #move(
    pipeline: string,
    target: DesiredPipeline,
    changes: Partial<PipelineRecord>,
    news?: ExecutionNews,
  ): Promise<void> {
    const { journal, reporter, clock } = this.#parts;
    const record = journal.get(pipeline);
    const report = news === undefined ? null : nextReport(record.report, target, news, clock.now());
    await journal.set(pipeline, { ...record, ...changes, report: report ?? record.report });
    if (report !== null) reporter.execution(report);
  }
}
