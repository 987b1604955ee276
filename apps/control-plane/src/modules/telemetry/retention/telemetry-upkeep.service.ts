import type { Logger } from '@drover/runtime';
import { messageOf } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { expiredPartitions, monthsAround } from './partition-plan.ts';
import { PartitionRepository } from './partition.repository.ts';

/** Often enough that a try that failed is soon made up for; a run with nothing to do is one query. */
const EVERY_MS = 3_600_000;

/** Keeps the partitions of `samples` ahead of time, and drops those that are past their retention. */
@Injectable()
export class TelemetryUpkeep implements OnApplicationBootstrap, BeforeApplicationShutdown {
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(
    private readonly config: Config,
    private readonly partitions: PartitionRepository,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    if (!this.config.hasRole('worker')) return;
    this.#timer = setInterval(() => (this.#running = this.#tryRun()), EVERY_MS);
    this.#timer.unref();
    this.#running = this.#tryRun();
    await this.#running;
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  async run(nowMs: number): Promise<void> {
    const present = new Set(await this.partitions.list());
    for (const month of monthsAround(nowMs)) {
      if (present.has(month.partition)) continue;
      if (await this.partitions.create(month)) this.logger.info({ partition: month.partition }, 'Made a partition');
    }
    const retentionMs = this.config.database.DROVER_RETENTION;
    if (retentionMs === 0) return;
    for (const partition of expiredPartitions([...present], nowMs, retentionMs)) {
      await this.partitions.drop(partition);
      this.logger.info({ partition }, 'Dropped a partition that is past its retention');
    }
    const purged = await this.partitions.purgeDefault(new Date(nowMs - retentionMs));
    if (purged > 0) this.logger.info({ samples: purged }, 'Removed samples that are past their retention');
  }

  async #tryRun(): Promise<void> {
    try {
      await this.run(Date.now());
    } catch (error) {
      // Samples go to the default partition meanwhile, and move when it works again.
      this.logger.warn({ err: messageOf(error) }, "The samples' partitions could not be looked after; trying again");
    }
  }
}
