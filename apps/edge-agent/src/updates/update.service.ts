/**
 * Keeps each pipeline at what is wanted of it.
 *
 * INVARIANTS
 * - At start, before anything is asked of the network, every pipeline serves the release that the journal names as verified;
 *   one that was still on probation does not count as such.
 * - Pipelines change independently; only fetching, verifying and measuring are done in turn.
 * - After `stop` nothing changes any more.
 */
import type { DesiredState } from '@drover/contracts';
import { messageOf } from '@drover/runtime';
import { PipelineUpdater } from './pipeline-updater.ts';
import { recover } from './planner.ts';
import { StepExecutor } from './step-executor.ts';
import type { ExecutorParts } from './step-executor.ts';
import { sweepArtifacts } from './artifact-sweep.ts';
import { Turn } from './turn.ts';
import type { PipelineRecord, ServedRelease } from './update-records.ts';

export interface UpdateServiceParts extends Omit<ExecutorParts, 'sweep' | 'probationMs'> {
  /** Pipelines in the device's configuration. */
  readonly pipelines: readonly string[];
  /** Called after every step. */
  readonly onChanged: () => void;
}

const DEFAULT_PROBATION_MS = 5_000;

export class UpdateService {
  readonly #parts: UpdateServiceParts;
  readonly #executor: StepExecutor;
  readonly #turn = new Turn();
  readonly #updaters = new Map<string, PipelineUpdater>();
  readonly #stopping = new AbortController();
  #running: Promise<void>[] = [];
  #desired: DesiredState | null = null;

  constructor(parts: UpdateServiceParts) {
    this.#parts = parts;
    this.#executor = new StepExecutor({
      ...parts,
      probationMs: () => this.#desired?.config.probationMs ?? DEFAULT_PROBATION_MS,
      sweep: () => this.#sweep(),
    });
  }

  /** Puts the verified releases to work, then begins to follow what is wanted. The journal must be open. */
  async start(): Promise<void> {
    const { journal, pipelines, reporter } = this.#parts;
    for (const name of pipelines) {
      await this.#restore(name);
    }
    for (const name of journal.names()) {
      // It may have been cut off between journal and store. The server knows a report that it has by its sequence.
      const { report } = journal.get(name);
      if (report !== null) reporter.execution(report);
    }
    for (const name of new Set([...pipelines, ...journal.names()])) this.#follow(name);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
    await this.#forgiveProbations();
  }

  /** What the server wants; the document is complete, so a pipeline that it leaves out shall have no release. */
  setDesired(desired: DesiredState): void {
    this.#desired = desired;
    for (const name of Object.keys(desired.pipelines)) this.#follow(name);
    for (const [name, updater] of this.#updaters) updater.setTarget(desired.pipelines[name] ?? null);
  }

  /** Something is wrong with what runs in a pipeline. */
  onTrouble(pipeline: string): void {
    this.#updaters.get(pipeline)?.nudge();
  }

  /** Whether no pipeline has anything to do at the moment. */
  get resting(): boolean {
    return [...this.#updaters.values()].every((updater) => updater.resting);
  }

  /** What a pipeline runs: the release on probation, else the verified one. */
  running(pipeline: string): ServedRelease | null {
    const { attempt, serving } = this.#parts.journal.get(pipeline);
    return attempt?.phase === 'probation' ? attempt.chosen : serving;
  }

  #follow(name: string): void {
    if (this.#updaters.has(name) || this.#stopping.signal.aborted) return;
    const { pipelines, onChanged } = this.#parts;
    const updater = new PipelineUpdater(name, {
      ...this.#parts,
      executor: this.#executor,
      turn: this.#turn,
      configured: pipelines.includes(name),
      onChanged,
    });
    this.#updaters.set(name, updater);
    this.#running.push(updater.run(this.#stopping.signal));
  }

  /** The last verified release from disk; if that cannot be, the one before it. */
  async #restore(name: string): Promise<void> {
    const { journal, engine, logger, reporter } = this.#parts;
    const stored = journal.get(name);
    const record = recover(stored);
    if (record !== stored) await journal.set(name, record);
    for (const served of [record.serving, record.previous]) {
      if (served === null) continue;
      try {
        const provider = await engine.activate(name, await this.#executor.ready(served));
        logger.info(
          { pipeline: name, release: served.release, variant: served.variant, provider },
          'serving from disk',
        );
        if (served !== record.serving || provider !== served.provider) {
          await journal.set(name, { ...record, serving: { ...served, provider }, previous: otherOf(record, served) });
        }
        return;
      } catch (error) {
        logger.error({ pipeline: name, release: served.release }, `cannot serve from disk: ${messageOf(error)}`);
        reporter.log('error', 'restore-failed', `Pipeline ${name} cannot serve ${served.release}: ${messageOf(error)}`);
      }
    }
    // What is wanted is then fetched as if for the first time.
    if (record.serving !== null) await journal.set(name, { ...record, serving: null, previous: record.serving });
  }

  /** Being stopped is no fault of a release on probation: it does not count against it. */
  async #forgiveProbations(): Promise<void> {
    const { journal, logger } = this.#parts;
    for (const name of journal.names()) {
      const record = journal.get(name);
      if (record.attempt?.phase !== 'probation') continue;
      const { activations } = record.attempt;
      const attempt = {
        ...record.attempt,
        phase: 'benchmarked',
        activations: activations - 1,
        probationEndsAt: null,
      } as const;
      await journal.set(name, { ...record, attempt }).catch((error: unknown) => logger.warn({}, messageOf(error)));
    }
  }

  #sweep(): void {
    const { shelf, journal, logger } = this.#parts;
    // In turn, so that nothing is removed while it arrives; not waited for, as that can be a download of hours.
    this.#turn
      .take(
        () => sweepArtifacts(shelf, journal.records(), Object.values(this.#desired?.pipelines ?? {}), logger),
        this.#stopping.signal,
      )
      .catch(() => undefined);
  }
}

function otherOf(record: PipelineRecord, served: ServedRelease): ServedRelease | null {
  return served === record.serving ? record.previous : record.serving;
}
