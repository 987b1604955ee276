import type { Logger } from '@drover/runtime';
import { messageOf } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { BeforeApplicationShutdown, OnApplicationBootstrap } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { RejectsRepository } from './rejects.repository.ts';

const KEPT_MS = 30 * 86_400_000;
const EVERY_MS = 3_600_000;

/** Forgets what was set aside a month ago: a device that only sends rubbish must not fill the disk. */
@Injectable()
export class RejectsUpkeep implements OnApplicationBootstrap, BeforeApplicationShutdown {
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly config: Config,
    private readonly rejects: RejectsRepository,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    if (!this.config.hasRole('worker')) return;
    this.#timer = setInterval(() => void this.clean(), EVERY_MS);
  }

  beforeApplicationShutdown(): void {
    clearInterval(this.#timer);
  }

  async clean(now = Date.now()): Promise<void> {
    try {
      await this.rejects.removeBefore(new Date(now - KEPT_MS));
    } catch (error) {
      this.logger.debug({ err: messageOf(error) }, 'Old rejects cannot be removed at the moment');
    }
  }
}
