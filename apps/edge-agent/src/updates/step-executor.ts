import type { DesiredPipeline, ExecutionReason, KeySet, Manifest } from '@drover/contracts';
import { messageOf } from '@drover/runtime';
import type { EventReporter } from '../telemetry/event-reporter.ts';
import { AttemptLog } from './attempt-log.ts';
import { CandidateTrials } from './candidate-trials.ts';
import type { TrialsParts } from './candidate-trials.ts';
import { whyDropped } from './choose-variant.ts';
import { targetKey } from './planner.ts';
import type { Step } from './planner.ts';
import { readManifest, readStoredManifest } from './read-manifest.ts';
import { readyRelease, servedBy } from './ready-release.ts';
import type { ReadyRelease, ReleaseEngine } from './release-engine.ts';
import { selectVariants } from './select-variants.ts';
import { ReleaseDowngradeError } from './update-errors.ts';
import type { UpdateJournal } from './update-journal.ts';
import type { Attempt, ServedRelease } from './update-records.ts';

export interface ExecutorParts extends Omit<TrialsParts, 'log' | 'engine'> {
  readonly journal: UpdateJournal;
  readonly engine: ReleaseEngine;
  readonly reporter: Pick<EventReporter, 'execution' | 'benchmark' | 'log'>;
  readonly fleet: string;
  readonly keySet: () => KeySet;
  readonly probationMs: () => number;
  /** Has artifacts removed that nothing needs any more, at some time. */
  readonly sweep: () => void;
}

const RETRY_BASE_MS = 60_000;
const RETRY_CAP_MS = 3_600_000;
const NOT_MEASURED = { runs: 0, p50Us: 0, p95Us: 0, p99Us: 0 };

/** Does what the planner decides, one step of one pipeline at a time, writing the journal before it tells of anything. */
export class StepExecutor {
  readonly #parts: ExecutorParts;
  readonly #log: AttemptLog;
  readonly #trials: CandidateTrials;

  constructor(parts: ExecutorParts) {
    this.#parts = parts;
    this.#log = new AttemptLog(parts);
    this.#trials = new CandidateTrials({ ...parts, log: this.#log });
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
        return this.#resolve(pipeline, this.#log.attempt(pipeline), signal);
      case 'download':
        return this.#trials.download(pipeline, this.#log.attempt(pipeline), signal);
      case 'verify':
        return this.#trials.verify(pipeline, this.#log.attempt(pipeline), signal);
      case 'benchmark':
        await this.#trials.benchmark(pipeline, this.#log.attempt(pipeline), signal);
        return this.#tellDropped(pipeline, this.#log.attempt(pipeline));
      case 'activate':
        return this.#activate(pipeline, this.#log.attempt(pipeline));
      case 'commit':
        return this.#commit(pipeline, this.#log.attempt(pipeline));
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
    if (attempt.chosen === null) await this.#tellDropped(pipeline, attempt);
    await this.#refuse(pipeline, attempt.target, reason, message);
  }

  /**
   * A served release with its files, checked against their digests.
   *
   * @throws ArtifactDamagedError, ManifestInvalidError
   */
  async ready(served: ServedRelease): Promise<ReadyRelease> {
    const manifest = readStoredManifest(await this.#parts.shelf.read(served.manifest));
    const ready = readyRelease(this.#parts.shelf, manifest, served);
    for (const artifact of ready.variant.artifacts) await this.#parts.shelf.check(artifact);
    return ready;
  }

  async #begin(pipeline: string, target: DesiredPipeline): Promise<void> {
    this.#parts.logger.info({ pipeline, release: target.release, execution: target.execution }, 'update begins');
    const attempt: Attempt = {
      target,
      phase: 'begun',
      variants: [],
      dropped: [],
      tries: {},
      chosen: null,
      activations: 0,
      probationEndsAt: null,
    };
    await this.#log.move(pipeline, target, { attempt }, { status: 'IN_PROGRESS', step: 'DOWNLOADING', progress: 0 });
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
    const { fitting, dropped } = selectVariants(manifest, target, offer);
    const variants = fitting.map((variant) => variant.name);
    await this.#log.move(pipeline, target, {
      attempt: { ...attempt, phase: 'resolved', variants, dropped: [...dropped] },
    });
  }

  async #activate(pipeline: string, attempt: Attempt): Promise<void> {
    const { engine, clock, probationMs } = this.#parts;
    const chosen = attempt.chosen!;
    const release = await this.ready(chosen);
    const about = { variant: chosen.variant, variantDigest: chosen.variantDigest };
    const begun: Attempt = { ...attempt, phase: 'activating', activations: attempt.activations + 1 };
    await this.#log.move(
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
    await this.#log.move(pipeline, attempt.target, { attempt: probation }, news);
  }

  async #commit(pipeline: string, attempt: Attempt): Promise<void> {
    const { journal, logger } = this.#parts;
    const { serving, previous } = journal.get(pipeline);
    const chosen = attempt.chosen!;
    const { variant, variantDigest: digest, provider } = chosen;
    const changes = { serving: chosen, previous: serving ?? previous, attempt: null, refused: null };
    await this.#log.move(pipeline, attempt.target, changes, {
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
    await this.#log.move(pipeline, target, { serving, refused: null }, news);
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
    await this.#log.move(pipeline, target, changes, {
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
    const attempt = this.#log.attempt(pipeline);
    this.#parts.logger.info(
      { pipeline, release: attempt.target.release },
      'update abandoned: something else is wanted',
    );
    await this.#putBack(pipeline, attempt);
    const news = { status: 'CANCELED', reason: 'superseded' } as const;
    await this.#log.move(pipeline, attempt.target, { attempt: null }, news);
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

  /** Candidates that were never measured: the server is told why. */
  async #tellDropped(pipeline: string, attempt: Attempt): Promise<void> {
    if (attempt.dropped.length === 0) return;
    const { shelf, logger } = this.#parts;
    let manifest: Manifest;
    try {
      manifest = readStoredManifest(await shelf.read(attempt.target.manifest));
    } catch (error) {
      logger.warn({ pipeline }, `nothing is told of the candidates: ${messageOf(error)}`);
      return;
    }
    for (const dropped of attempt.dropped) {
      const { release, variant, variantDigest } = servedBy(manifest, attempt, dropped.variant);
      this.#log.tellBenchmark({
        pipeline,
        release,
        variant,
        variantDigest,
        provider: 'none',
        ...NOT_MEASURED,
        chosen: false,
        reason: whyDropped(dropped),
      });
    }
  }
}
