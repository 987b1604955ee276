import type { Logger } from '@drover/runtime';
import { Backoff, messageOf, sleep, systemClock } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import { DeviceGateway } from '../../../platform/broker/device-gateway.ts';
import { NoticeListener } from '../../../platform/database/listener.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import type { DeviceRef } from './device-ref.ts';
import { DeliveryRepository } from './delivery.repository.ts';
import { InstructionDelivery } from './instruction-delivery.service.ts';

const CHANNEL = 'drover_device_outbox';
const BATCH = 500;
/** Without a notice: one may have been lost, and a disconnect may wait for its time. */
const POLL_MS = 1_000;
const CLEAN_EVERY_MS = 3_600_000;
const COMMANDS_KEPT_MS = 30 * 86_400_000;

/** Does what workers and the API have asked for in `device_outbox`: only the gateway holds the connections. */
@Injectable()
export class OutboxDrain {
  readonly #stopping = new AbortController();
  readonly #backoff = new Backoff(100, 5_000);
  #running: Promise<void> | undefined;
  #noticed = false;
  #wake: () => void = () => undefined;
  #end: (() => void) | undefined;
  #cleanAt = 0;

  constructor(
    private readonly listener: NoticeListener,
    private readonly delivery: DeliveryRepository,
    private readonly instructions: InstructionDelivery,
    private readonly gateway: DeviceGateway,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  start(): void {
    this.#end = this.listener.on(CHANNEL, () => this.wake());
    this.#running ??= this.#run(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.wake();
    this.#end?.();
    await this.#running;
  }

  /** Looks now, and not only at the next poll. */
  wake(): void {
    this.#noticed = true;
    this.#wake();
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#noticed = false;
      try {
        if (await this.#drainOnce()) continue;
        this.#backoff.reset();
        await this.#clean();
      } catch (error) {
        this.logger.debug({ err: messageOf(error) }, 'The device outbox cannot be read at the moment');
        await sleep(this.#backoff.next(), signal).catch(() => undefined);
        continue;
      }
      await this.#pause(signal);
    }
  }

  /** @returns whether there may be more */
  async #drainOnce(): Promise<boolean> {
    const { publisher } = this.gateway;
    if (!publisher) return false;
    const { twins, disconnects, commands } = await this.delivery.claim(BATCH);
    // Commands before disconnects: the last word to a device may be what it is cut off for.
    await Promise.all([this.instructions.twins(distinct(twins)), this.instructions.commands(commands)]);
    await Promise.all(disconnects.map(({ fleet, device }) => publisher.purge(fleet, device)));
    return twins.length + disconnects.length >= BATCH || commands.length >= BATCH;
  }

  async #clean(): Promise<void> {
    if (systemClock.monotonic() < this.#cleanAt) return;
    await this.delivery.dropOldCommands(COMMANDS_KEPT_MS);
    this.#cleanAt = systemClock.monotonic() + CLEAN_EVERY_MS;
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, POLL_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#noticed || signal.aborted) this.#wake();
    });
  }
}

function distinct(devices: readonly DeviceRef[]): DeviceRef[] {
  return [...new Map(devices.map((device) => [device.device, device])).values()];
}
