import type { DesiredPipeline } from '@drover/contracts';
import { messageOf, sleep } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import { plan, targetKey } from './planner.ts';
import type { Step } from './planner.ts';
import type { ReleaseEngine } from './release-engine.ts';
import type { StepExecutor } from './step-executor.ts';
import type { Turn } from './turn.ts';
import { reasonOf } from './update-errors.ts';
import { JournalUnwritableError } from './update-journal.ts';
import type { UpdateJournal } from './update-journal.ts';

export interface UpdaterParts {
  readonly journal: UpdateJournal;
  readonly executor: StepExecutor;
  readonly engine: Pick<ReleaseEngine, 'trouble'>;
  /** Shared by all pipelines. */
  readonly turn: Turn;
  readonly configured: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** After every step that may have changed what the pipeline is. */
  readonly onChanged: () => void;
}

const HEAVY_STEPS: ReadonlySet<Step['type']> = new Set(['resolve', 'download', 'verify', 'benchmark']);
const PAUSE_AFTER_TROUBLE_MS = 10_000;

/** Brings one pipeline to its target, step by step, for as long as it runs. */
export class PipelineUpdater {
  readonly #name: string;
  readonly #parts: UpdaterParts;
  #target: DesiredPipeline | null | undefined = undefined;
  #step: AbortController | null = null;
  #resting = false;
  #nudge: AbortController = new AbortController();

  constructor(name: string, parts: UpdaterParts) {
    this.#name = name;
    this.#parts = parts;
  }

  /** What is wanted from now on. A step towards something else is given up where it can be. */
  setTarget(target: DesiredPipeline | null): void {
    const before = this.#target;
    this.#target = target;
    const { attempt } = this.#parts.journal.get(this.#name);
    const underWay = attempt?.target ?? before;
    const same =
      target !== null && underWay !== null && underWay !== undefined && targetKey(target) === targetKey(underWay);
    if (!same) this.#step?.abort();
    this.nudge();
  }

  /** Whether there was nothing to do, or nothing yet, when it last looked. */
  get resting(): boolean {
    return this.#resting;
  }

  /** Look again: something has changed. */
  nudge(): void {
    this.#resting = false;
    this.#nudge.abort();
  }

  /** Resolves when the signal has aborted and the step of the moment has ended. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#nudge = new AbortController();
      const step = this.#plan();
      if (step.type === 'idle') await this.#rest(null, signal);
      else if (step.type === 'wait') await this.#rest(step.forMs, signal);
      else await this.#do(step, signal);
    }
  }

  #plan(): Step {
    const { journal, configured, clock, engine } = this.#parts;
    return plan({
      record: journal.get(this.#name),
      target: this.#target,
      configured,
      now: clock.now(),
      monotonicMs: clock.monotonic(),
      trouble: configured ? engine.trouble(this.#name) : null,
    });
  }

  async #do(step: Exclude<Step, { type: 'idle' | 'wait' }>, signal: AbortSignal): Promise<void> {
    const { executor, turn, logger, onChanged } = this.#parts;
    const own = new AbortController();
    this.#step = own;
    const both = AbortSignal.any([own.signal, signal]);
    try {
      if (HEAVY_STEPS.has(step.type)) await turn.take(() => executor.execute(this.#name, step, both), both);
      else await executor.execute(this.#name, step, both);
    } catch (error) {
      if (both.aborted) return;
      await this.#failed(error, signal);
    } finally {
      this.#step = null;
      logger.debug({ pipeline: this.#name, step: step.type }, 'update step');
      onChanged();
    }
  }

  async #failed(failure: unknown, signal: AbortSignal): Promise<void> {
    const { executor, logger } = this.#parts;
    let cause = failure;
    if (!(failure instanceof JournalUnwritableError)) {
      try {
        await executor.fail(this.#name, reasonOf(failure), messageOf(failure));
        return;
      } catch (second) {
        cause = second;
      }
    }
    // Without a journal nothing may change: what serves goes on serving until the disk takes writes again.
    logger.error({ pipeline: this.#name }, `updates are on hold: ${messageOf(cause)}`);
    await sleep(PAUSE_AFTER_TROUBLE_MS, signal).catch(() => undefined);
  }

  async #rest(forMs: number | null, signal: AbortSignal): Promise<void> {
    const until = AbortSignal.any([this.#nudge.signal, signal]);
    this.#resting = !until.aborted;
    // Longer waits than a timer can take are looked at again in a day.
    await sleep(Math.min(forMs ?? 86_400_000, 86_400_000), until).catch(() => undefined);
    this.#resting = false;
  }
}
