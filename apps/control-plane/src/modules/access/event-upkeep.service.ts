import type { Logger } from '@drover/runtime';
import { messageOf } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { Config } from '../../config/config.ts';
import { EventReader } from '../../platform/events/event-reader.ts';
import { LOGGER } from '../../platform/platform.module.ts';

const EVERY_MS = 3_600_000;
/** Per statement, so that none holds many rows for long. */
const BATCH = 10_000;

/**
 * Forgets events that are past their retention. Whoever reads behind it goes on with the oldest that is kept; the state that events
 * tell of is in rows of its own.
 */
@Injectable()
export class EventUpkeep implements OnApplicationBootstrap, BeforeApplicationShutdown {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(
    private readonly config: Config,
    private readonly events: EventReader,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.config.hasRole('worker')) return;
    this.#timer = setInterval(() => (this.#running = this.#tryRun()), EVERY_MS);
    this.#timer.unref();
    this.#running = this.#tryRun();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    await this.#running;
  }

  /** @returns how many were removed */
  async run(nowMs: number): Promise<number> {
    const retentionMs = this.config.database.DROVER_EVENT_RETENTION;
    if (retentionMs === 0) return 0;
    let removed = 0;
    while (!this.#stopping) {
      const batch = await this.events.forget(new Date(nowMs - retentionMs), BATCH);
      removed += batch;
      if (batch < BATCH) break;
    }
    return removed;
  }

  async #tryRun(): Promise<void> {
    try {
      const events = await this.run(Date.now());
      if (events > 0) this.logger.info({ events }, 'Removed events that are past their retention');
    } catch (error) {
      this.logger.warn({ err: messageOf(error) }, 'Old events could not be removed; trying again');
    }
  }
}
