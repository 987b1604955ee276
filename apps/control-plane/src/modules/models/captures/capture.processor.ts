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
import { CaptureAdvance } from './capture-advance.service.ts';
import { CaptureRepository } from './capture.repository.ts';
import { ADVANCE_CAPTURE_JOB, CAPTURE_QUEUE, CaptureService } from './capture.service.ts';

const CONCURRENCY = 2;

/** The worker's side of captures: wakes one when a device has answered, and all of them now and then. */
@Injectable()
export class CaptureProcessor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #stopping = new AbortController();
  readonly #loops: Promise<void>[] = [];

  constructor(
    private readonly config: Config,
    private readonly listener: NoticeListener,
    private readonly reader: EventReader,
    private readonly queues: Queues,
    private readonly service: CaptureService,
    private readonly captures: CaptureRepository,
    private readonly advance: CaptureAdvance,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.config.hasRole('worker')) return;
    this.queues.process(CAPTURE_QUEUE, CONCURRENCY, {
      [ADVANCE_CAPTURE_JOB]: ({ fleet, id }, signal) =>
        this.advance.advance(String(fleet), String(id), AbortSignal.any([signal, this.#stopping.signal])),
    });
    this.#loops.push(this.#follow(), this.#reconcile());
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#loops);
  }

  /** What is missed here, the reconciler finds. */
  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    for await (const events of followEvents(this.reader, this.listener, 'end', { signal, logger: this.logger })) {
      for (const { type, fleet, data } of events) {
        if (type !== 'device.command-finished' || data.type !== 'capture') continue;
        await this.service.wake(fleet, String(data.command)).catch(() => undefined);
      }
    }
  }

  #reconcile(): Promise<void> {
    const { signal } = this.#stopping;
    const once = async (): Promise<void> => {
      for (const { fleet, id } of await this.captures.running()) await this.service.wake(fleet, id);
    };
    return reconcileEvery(this.config.queue.DROVER_RECONCILE_EVERY, once, {
      what: 'Captures',
      signal,
      logger: this.logger,
    });
  }
}
