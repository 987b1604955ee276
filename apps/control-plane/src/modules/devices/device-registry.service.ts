import { ID_PATTERN, TIERS, TIER_PRECISION_ORDER, tierOf } from '@drover/contracts';
import type { BodyOf, Device, DeviceQuery, Tier, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { ConflictError, NotFoundError } from '../../platform/http/errors.ts';
import { DeviceRepository } from './device.repository.ts';
import { toDevice } from './device-row.ts';
import { GroupRepository } from './group.repository.ts';

export interface TierSummary {
  readonly tier: Tier;
  readonly precisions: string[];
  readonly devices: number;
}

/** What is known of the devices of a fleet, for people. */
@Injectable()
export class DeviceRegistry {
  constructor(
    private readonly database: Database,
    private readonly devices: DeviceRepository,
    private readonly groups: GroupRepository,
    private readonly events: EventOutbox,
  ) {}

  async list(fleet: string, query: DeviceQuery): Promise<{ items: Device[]; nextCursor: string | null }> {
    const { items, nextCursor } = await this.devices.page(fleet, query, await this.groups.dynamic(fleet));
    return { items: items.map(toDevice), nextCursor };
  }

  /** @throws NotFoundError */
  async get(fleet: string, id: string): Promise<Device> {
    const row = ID_PATTERN.test(id) ? await this.devices.find(fleet, id, await this.groups.dynamic(fleet)) : null;
    if (!row) throw NotFoundError.of('device', id);
    return toDevice(row);
  }

  /**
   * Renames, tags, or fixes the tier; `tier: null` derives it from the profile again.
   *
   * @throws NotFoundError, ConflictError for a decommissioned device
   */
  async update(fleet: string, id: string, input: BodyOf<typeof api.devices.update>): Promise<Device> {
    await this.database.transaction(async (tx) => {
      const device = ID_PATTERN.test(id) ? await this.devices.lock(tx, fleet, id) : null;
      if (!device) throw NotFoundError.of('device', id);
      if (device.state !== 'active') throw new ConflictError(`Device "${id}" was decommissioned.`);
      const tier = input.tier === undefined ? device.tier : (input.tier ?? tierOf(device.profile));
      await this.devices.change(tx, fleet, id, {
        ...(input.name !== undefined && { name: input.name }),
        ...(input.tags !== undefined && { tags: input.tags }),
        ...(input.tier !== undefined && { tier, tierOverride: input.tier }),
      });
      const changed = Object.keys(input).filter((key) => input[key as keyof typeof input] !== undefined);
      if (changed.length > 0)
        await this.events.append(tx, { fleet, type: 'device.updated', subject: id, data: { changed, tier } });
    });
    return this.get(fleet, id);
  }

  /** Every tier, with what it prefers and how many active devices it has. */
  async tiers(fleet: string): Promise<{ items: TierSummary[] }> {
    const counts = await this.devices.countByTier(fleet);
    const items = TIERS.map((tier) => ({
      tier,
      precisions: [...TIER_PRECISION_ORDER[tier]],
      devices: counts.get(tier) ?? 0,
    }));
    return { items };
  }
}
