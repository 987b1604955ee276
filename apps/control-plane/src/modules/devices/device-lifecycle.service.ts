import { isDeepStrictEqual } from 'node:util';
import { tierOf } from '@drover/contracts';
import type { HardwareProfile } from '@drover/contracts';
import { newId } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import type { Transaction } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { ConflictError, NotFoundError } from '../../platform/http/errors.ts';
import { DeviceRepository } from './device.repository.ts';
import type { LockedDevice } from './device.repository.ts';
import { GroupService } from './group.service.ts';
import { TwinService } from './twin.service.ts';

/** What an agent says of itself when it enrols. */
export interface Newcomer {
  readonly profile: HardwareProfile;
  readonly pipelines: readonly string[];
  readonly name?: string | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
  /** A static group to put it into. */
  readonly group?: string | null;
}

/** A device's incarnation: its id and which enrolment under it is the valid one. */
export interface Incarnation {
  readonly device: string;
  readonly epoch: number;
}

/** A device's life in the registry. Certificates are the enrolment's; it calls this in its own transactions. */
@Injectable()
export class DeviceLifecycle {
  constructor(
    private readonly devices: DeviceRepository,
    private readonly groups: GroupService,
    private readonly twins: TwinService,
    private readonly events: EventOutbox,
  ) {}

  /** Enters a new device: server-issued id, tier by its profile, an empty twin. */
  async register(tx: Transaction, fleet: string, newcomer: Newcomer): Promise<Incarnation> {
    const { profile, pipelines } = newcomer;
    const device = newId('dev');
    const name = newcomer.name ?? device;
    const tier = tierOf(profile);
    await this.devices.create(tx, fleet, { id: device, name, tier, tags: newcomer.tags ?? {}, profile, pipelines });
    if (newcomer.group != null) await this.groups.join(tx, fleet, newcomer.group, device);
    await this.twins.createFor(tx, fleet, device);
    await this.events.append(tx, {
      fleet,
      type: 'device.enrolled',
      subject: device,
      data: { name, tier, epoch: 1, replaced: false },
    });
    return { device, epoch: 1 };
  }

  /**
   * The same device on new hardware, or with a new key: the next incarnation under its id. Name, tags, groups and desired state
   * are the device's and stay; what the old incarnation reported does not.
   *
   * @throws NotFoundError, ConflictError for a decommissioned device
   */
  async replace(tx: Transaction, fleet: string, device: string, newcomer: Newcomer): Promise<Incarnation> {
    const present = await this.requireActive(tx, fleet, device);
    const { profile, pipelines } = newcomer;
    const epoch = present.epoch + 1;
    const tier = present.tierOverride ?? tierOf(profile);
    await this.devices.change(tx, fleet, device, { profile, pipelines, tier, epoch, enrolledAt: new Date() });
    await this.twins.createFor(tx, fleet, device);
    await this.events.append(tx, {
      fleet,
      type: 'device.enrolled',
      subject: device,
      data: { name: present.name, tier, epoch, replaced: true },
    });
    return { device, epoch };
  }

  /** Takes a newer profile; its tier follows, unless it was overridden. */
  async profileChanged(tx: Transaction, fleet: string, device: string, profile: HardwareProfile): Promise<void> {
    const present = await this.requireActive(tx, fleet, device);
    if (isDeepStrictEqual(present.profile, profile)) return;
    const tier = present.tierOverride ?? tierOf(profile);
    await this.devices.change(tx, fleet, device, { profile, tier });
    await this.events.append(tx, {
      fleet,
      type: 'device.updated',
      subject: device,
      data: { changed: ['profile', ...(tier === present.tier ? [] : ['tier'])], tier },
    });
  }

  /** @throws NotFoundError, ConflictError where it is decommissioned already */
  async decommission(tx: Transaction, fleet: string, device: string): Promise<void> {
    await this.requireActive(tx, fleet, device);
    await this.devices.retire(tx, fleet, device, new Date());
    await this.events.append(tx, { fleet, type: 'device.decommissioned', subject: device });
  }

  /** Locks a device's row, so that what is decided about it stays true until the transaction ends. */
  async requireActive(tx: Transaction, fleet: string, device: string): Promise<LockedDevice> {
    const present = await this.devices.lock(tx, fleet, device);
    if (!present) throw NotFoundError.of('device', device);
    if (present.state !== 'active') throw new ConflictError(`Device "${device}" was decommissioned.`);
    return present;
  }
}
