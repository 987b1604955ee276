import type { DeviceQuery, HardwareProfile, Tier } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { groupCondition, queryConditions } from './device-conditions.ts';
import type { DynamicGroups } from './device-conditions.ts';
import { DEVICE_COLUMNS } from './device-row.ts';
import type { DeviceRow } from './device-row.ts';
import { deviceOrder } from './device-sort.ts';
import { SqlParameters } from './sql-parameters.ts';

/** What decides about a device's tier and tags, read under a lock on its row. */
export interface LockedDevice {
  readonly id: string;
  readonly state: string;
  readonly name: string;
  readonly tier: Tier;
  readonly tierOverride: Tier | null;
  readonly profile: HardwareProfile;
  readonly pipelines: string[];
  readonly epoch: number;
}

export interface NewDevice {
  readonly id: string;
  readonly name: string;
  readonly tier: Tier;
  readonly tags: Readonly<Record<string, string>>;
  readonly profile: HardwareProfile;
  readonly pipelines: readonly string[];
}

export interface DeviceChanges {
  readonly name?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly tier?: Tier;
  readonly tierOverride?: Tier | null;
  readonly profile?: HardwareProfile;
  readonly pipelines?: readonly string[];
  readonly epoch?: number;
  readonly enrolledAt?: Date;
}

@Injectable()
export class DeviceRepository {
  constructor(private readonly database: Database) {}

  /** One page of a fleet's devices with their groups, in one statement that an index of the sort serves. */
  async page(
    fleet: string,
    query: DeviceQuery,
    groups: DynamicGroups,
  ): Promise<{ items: DeviceRow[]; nextCursor: string | null }> {
    const parameters = new SqlParameters(fleet);
    const conditions = queryConditions(query, groups, parameters);
    const { orderBy, after, cursorOf } = deviceOrder(query, parameters);
    const limit = parameters.add(query.limit + 1, 'int');
    const { rows } = await this.database.pool.query<DeviceRow>(
      `WITH d AS (
         SELECT d.* FROM devices d WHERE d.fleet_id = $1 AND ${conditions} AND ${after} ORDER BY ${orderBy} LIMIT ${limit}
       )
       SELECT ${DEVICE_COLUMNS}, ${groupsOf(groups, parameters)} AS groups FROM d ORDER BY ${orderBy}`,
      parameters.values,
    );
    if (rows.length <= query.limit) return { items: rows, nextCursor: null };
    const items = rows.slice(0, query.limit);
    return { items, nextCursor: cursorOf(items.at(-1)!) };
  }

  async find(fleet: string, device: string, groups: DynamicGroups): Promise<DeviceRow | null> {
    const parameters = new SqlParameters(fleet, device);
    const { rows } = await this.database.pool.query<DeviceRow>(
      `SELECT ${DEVICE_COLUMNS}, ${groupsOf(groups, parameters)} AS groups
         FROM devices d WHERE d.fleet_id = $1 AND d.id = $2`,
      parameters.values,
    );
    return rows[0] ?? null;
  }

  /** How many active devices each tier has; tiers without any are left out. */
  async countByTier(fleet: string): Promise<Map<string, number>> {
    const { rows } = await this.database.pool.query<{ tier: string; devices: number }>(
      `SELECT tier, count(*)::int AS devices FROM devices WHERE fleet_id = $1 AND state = 'active' GROUP BY tier`,
      [fleet],
    );
    return new Map(rows.map((row) => [row.tier, row.devices]));
  }

  /** Reads a device and keeps others from changing it until the transaction ends. */
  async lock(tx: Transaction, fleet: string, device: string): Promise<LockedDevice | null> {
    const rows = await tx.$queryRaw<LockedDevice[]>`
      SELECT id, state, name, tier, tier_override AS "tierOverride", profile, pipelines, epoch
        FROM devices WHERE fleet_id = ${fleet} AND id = ${device} FOR NO KEY UPDATE`;
    return rows[0] ?? null;
  }

  async create(tx: Transaction, fleet: string, device: NewDevice): Promise<void> {
    await tx.device.create({
      data: {
        ...device,
        fleetId: fleet,
        tags: device.tags as object,
        profile: device.profile as object,
        pipelines: [...device.pipelines],
        agentVersion: device.profile.agentVersion,
      },
      select: { id: true },
    });
  }

  async change(tx: Transaction, fleet: string, device: string, changes: DeviceChanges): Promise<void> {
    const { tags, profile, pipelines, ...rest } = changes;
    await tx.device.update({
      where: { fleetId_id: { fleetId: fleet, id: device } },
      data: {
        ...rest,
        ...(tags && { tags: tags as object }),
        ...(profile && { profile: profile as object, agentVersion: profile.agentVersion }),
        ...(pipelines && { pipelines: [...pipelines] }),
      },
      select: { id: true },
    });
  }

  /** Takes a device out of service and out of every static group. */
  async retire(tx: Transaction, fleet: string, device: string, at: Date): Promise<void> {
    await tx.groupMember.deleteMany({ where: { fleetId: fleet, deviceId: device } });
    await tx.device.update({
      where: { fleetId_id: { fleetId: fleet, id: device } },
      data: { state: 'decommissioned', decommissionedAt: at },
      select: { id: true },
    });
  }
}

/** An expression for the ids of all groups, static and dynamic, that a row `d` is in. Groups are of active devices only. */
function groupsOf(groups: DynamicGroups, parameters: SqlParameters): string {
  const dynamic = [...groups.keys()].map(
    (group) =>
      `CASE WHEN d.state = 'active' AND ${groupCondition(group, groups, parameters)} THEN ${parameters.add(group, 'text')} END`,
  );
  const members = `ARRAY(SELECT m.group_id FROM group_members m WHERE m.fleet_id = d.fleet_id AND m.device_id = d.id)`;
  return dynamic.length === 0 ? members : `${members} || array_remove(ARRAY[${dynamic.join(', ')}]::text[], NULL)`;
}
