import type { FleetEvent } from '@drover/contracts';
import { messageOf } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { Config } from '../../config/config.ts';
import { Database } from '../../platform/database/database.ts';
import { NoticeListener } from '../../platform/database/listener.ts';
import { followEvents } from '../../platform/events/event-feed.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { EventReader } from '../../platform/events/event-reader.ts';
import { LOGGER } from '../../platform/platform.module.ts';
import { Queues } from '../../platform/queue/queues.ts';
import { reconcileEvery } from '../../platform/queue/reconcile.ts';
import { ExecutionRepository } from './execution.repository.ts';
import { ADVANCE_JOB, DISPATCH_JOB, ROLLOUT_QUEUE, RolloutEngine, executionEvent } from './rollout-engine.ts';
import { RolloutRepository } from './rollout.repository.ts';

const CONCURRENCY = 4;
const SWEEP_LIMIT = 1_000;

/**
 * The worker's side of rollouts: runs the jobs, wakes rollouts when an execution ends, and reconciles: from rows alone it finds
 * rollouts without a job, steps that took too long, and executions of devices that are gone.
 */
@Injectable()
export class RolloutProcessor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stopping = new AbortController();
  readonly #loops: Promise<void>[] = [];

  constructor(
    private readonly config: Config,
    private readonly database: Database,
    private readonly listener: NoticeListener,
    private readonly reader: EventReader,
    private readonly events: EventOutbox,
    private readonly queues: Queues,
    private readonly engine: RolloutEngine,
    private readonly rollouts: RolloutRepository,
    private readonly executions: ExecutionRepository,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.config.hasRole('worker')) return;
    this.queues.process(ROLLOUT_QUEUE, CONCURRENCY, {
      [ADVANCE_JOB]: ({ fleet, rollout }) => this.engine.advance(String(fleet), String(rollout)),
      [DISPATCH_JOB]: ({ fleet, rollout }, signal) => this.engine.dispatch(String(fleet), String(rollout), signal),
    });
    this.#loops.push(this.#follow(), this.#reconcile());
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#loops);
  }

  /** Wakes a rollout as soon as one of its executions has ended; reacts to devices that were replaced. */
  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    for await (const events of followEvents(this.reader, this.listener, 'end', { signal, logger: this.logger })) {
      try {
        await this.#take(events);
      } catch (error) {
        this.logger.warn({ err: messageOf(error) }, 'Events of devices and executions could not be acted on');
      }
    }
  }

  async #take(events: readonly FleetEvent[]): Promise<void> {
    const wanted = new Map<string, { fleet: string; rollout: string }>();
    for (const { type, fleet, subject, data } of events) {
      if (type === 'device.enrolled' && data.replaced === true) await this.executions.restartSequence(fleet, subject);
      if (type !== 'execution.changed' || data.status === 'QUEUED' || data.status === 'IN_PROGRESS') continue;
      wanted.set(`${fleet}/${String(data.rollout)}`, { fleet, rollout: String(data.rollout) });
    }
    for (const { fleet, rollout } of wanted.values()) await this.engine.wake(fleet, rollout);
  }

  /** Once over everything that rows alone say is to be done. */
  async reconcile(): Promise<void> {
    await this.executions.keepTimers();
    await this.#endOverdue();
    await this.#endOfRemovedDevices();
    for (const { fleet, id } of await this.rollouts.running()) await this.engine.wake(fleet, id);
  }

  #reconcile(): Promise<void> {
    const { signal } = this.#stopping;
    const once = (): Promise<void> => this.reconcile();
    return reconcileEvery(this.config.queue.DROVER_RECONCILE_EVERY, once, {
      what: 'Rollouts',
      signal,
      logger: this.logger,
    });
  }

  async #endOverdue(): Promise<void> {
    for (const { fleet, id } of await this.executions.overdue(SWEEP_LIMIT)) {
      await this.database.transaction(async (tx) => {
        const ended = await this.executions.endOverdue(tx, fleet, id);
        if (!ended) return;
        await this.engine.restore(tx, fleet, [ended]);
        const { rollout, message } = ended;
        await this.events.append(tx, executionEvent(fleet, rollout, ended, 'TIMED_OUT', 'step-timeout', { message }));
      });
    }
  }

  async #endOfRemovedDevices(): Promise<void> {
    for (const { fleet, id } of await this.executions.ofRemovedDevices(SWEEP_LIMIT)) {
      await this.database.transaction(async (tx) => {
        const [ended] = await this.executions.end(
          tx,
          fleet,
          [id],
          'REMOVED',
          'device-removed',
          'The device was decommissioned.',
        );
        if (!ended) return;
        await this.events.append(tx, executionEvent(fleet, ended.rollout, ended, 'REMOVED', 'device-removed'));
      });
    }
  }
}
