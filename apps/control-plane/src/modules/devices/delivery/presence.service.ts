import type { Logger } from '@drover/runtime';
import { messageOf, systemClock } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { BatchQueue } from '../../../platform/database/batch-queue.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import type { DeviceRef } from './device-ref.ts';
import { PresenceRepository } from './presence.repository.ts';
import type { PresenceChange } from './presence.repository.ts';

/** Renewals are collected for this long: one statement for all devices. */
const RENEW_EVERY_MS = 250;
const MAX_EXPIRED = 1_000;
const MAX_RENEWED = 2_000;

/**
 * Who is online. INVARIANTS
 * - A device is online for at most one lease after the last thing that was heard of it, whatever becomes of the gateway.
 * - Hearing of a device costs the database at most one row per third of a lease.
 * - Each change is told by one event, in the statement that makes it.
 */
@Injectable()
export class Presence {
  readonly #leaseMs: number;
  /** When each device's lease is to be written again; monotonic milliseconds. */
  readonly #renewAt = new Map<string, number>();
  #due = new Map<string, DeviceRef>();
  /** Those that an event has called online, as far as this process knows. */
  readonly #told = new Set<string>();
  readonly #changes = new BatchQueue<PresenceChange>((changes) => this.#write(changes), MAX_RENEWED);
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #expireAt = 0;

  constructor(
    private readonly presence: PresenceRepository,
    config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.#leaseMs = config.device.DROVER_PRESENCE_LEASE;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running ??= this.#tick().finally(() => (this.#running = undefined));
    }, RENEW_EVERY_MS);
  }

  /** Writes what is due; leases go on running, so a gateway that comes back soon finds its devices online. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
    await this.#renew().catch(() => undefined);
  }

  /** The device was heard of. Cheap: this is called for every message. */
  heard(device: DeviceRef): void {
    const now = systemClock.monotonic();
    const renewAt = this.#renewAt.get(device.device);
    if (renewAt !== undefined && now < renewAt) return;
    this.#renewAt.set(device.device, now + this.#leaseMs / 3);
    this.#due.set(device.device, device);
  }

  /** The device says that it is here. Resolves when that is committed; without news there is nothing to commit. */
  async online(device: DeviceRef): Promise<void> {
    if (this.#told.has(device.device)) return;
    this.#due.delete(device.device);
    this.#renewAt.set(device.device, systemClock.monotonic() + this.#leaseMs / 3);
    await this.#changes.add({ fleet: device.fleet, device: device.device, online: true, reason: 'status' });
  }

  /** The device has said goodbye, or its will says so. Resolves when that is committed. */
  async offline(device: DeviceRef, reason: 'status' | 'will'): Promise<void> {
    this.#forget(device.device);
    await this.#changes.add({ fleet: device.fleet, device: device.device, online: false, reason });
    // A message that was on its way meanwhile does not bring it back.
    this.#forget(device.device);
  }

  async #write(changes: readonly PresenceChange[]): Promise<void> {
    // The last word counts, where a device comes and goes within one batch.
    const last = [...new Map(changes.map((change) => [change.device, change])).values()];
    await this.presence.change(last, this.#leaseMs);
    for (const { device, online } of last) {
      if (online) this.#told.add(device);
      else this.#told.delete(device);
    }
  }

  async #tick(): Promise<void> {
    try {
      await this.#renew();
      if (systemClock.monotonic() < this.#expireAt) return;
      for (;;) {
        const expired = await this.presence.expire(MAX_EXPIRED);
        for (const { device } of expired) this.#forget(device);
        if (expired.length < MAX_EXPIRED) break;
      }
      this.#expireAt = systemClock.monotonic() + Math.min(this.#leaseMs / 6, 5_000);
    } catch (error) {
      this.logger.debug({ err: messageOf(error) }, 'Presence cannot be written at the moment');
    }
  }

  async #renew(): Promise<void> {
    while (this.#due.size > 0) {
      const due = this.#due;
      this.#due = new Map([...due].slice(MAX_RENEWED));
      const batch = [...due.values()].slice(0, MAX_RENEWED);
      try {
        const news = await this.presence.renew(batch, this.#leaseMs);
        // Through the same queue as what devices say themselves, so that the last word counts here too.
        await Promise.all(
          news
            .filter(({ device }) => this.#renewAt.has(device))
            .map(({ fleet, device }) => this.#changes.add({ fleet, device, online: true, reason: 'message' })),
        );
      } catch (error) {
        for (const device of batch) if (this.#renewAt.has(device.device)) this.#due.set(device.device, device);
        throw error;
      }
    }
  }

  #forget(device: string): void {
    this.#renewAt.delete(device);
    this.#due.delete(device);
    this.#told.delete(device);
  }
}
