import type { Logger } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { NoticeListener } from '../../../platform/database/listener.ts';
import { followEvents } from '../../../platform/events/event-feed.ts';
import { EventReader } from '../../../platform/events/event-reader.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { Queues } from '../../../platform/queue/queues.ts';
import { reconcileEvery } from '../../../platform/queue/reconcile.ts';
import { BuildRepository } from './build.repository.ts';
import { BuildRunner } from './build-runner.service.ts';
import { BUILD_JOB, BUILD_QUEUE, BuildService } from './build.service.ts';

/** The worker's side of builds: runs the jobs, hears of cancellations, and derives missing jobs from rows. */
@Injectable()
export class BuildProcessor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stopping = new AbortController();
  readonly #loops: Promise<void>[] = [];

  constructor(
    private readonly config: Config,
    private readonly listener: NoticeListener,
    private readonly reader: EventReader,
    private readonly queues: Queues,
    private readonly service: BuildService,
    private readonly builds: BuildRepository,
    private readonly runner: BuildRunner,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.config.hasRole('worker')) return;
    this.queues.process(BUILD_QUEUE, this.config.queue.DROVER_MAX_RELEASE_BUILDS, {
      [BUILD_JOB]: ({ fleet, id }, signal) =>
        this.runner.run(String(fleet), String(id), AbortSignal.any([signal, this.#stopping.signal])),
    });
    this.#loops.push(this.#follow(), this.#reconcile());
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#loops);
  }

  /** Ends what was cancelled, in whichever process that was asked for. A late one is found with the next renewal of the lease. */
  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    for await (const events of followEvents(this.reader, this.listener, 'end', { signal, logger: this.logger })) {
      for (const { type, fleet, subject } of events) if (type === 'build.canceled') this.runner.cancel(fleet, subject);
    }
  }

  /** A build whose job was lost, with the queue or with a worker, is asked for again. */
  #reconcile(): Promise<void> {
    const { signal } = this.#stopping;
    const once = async (): Promise<void> => {
      for (const { fleet, id } of await this.builds.waiting()) await this.service.enqueue(fleet, id);
    };
    return reconcileEvery(this.config.queue.DROVER_RECONCILE_EVERY, once, {
      what: 'Builds',
      signal,
      logger: this.logger,
    });
  }
}
