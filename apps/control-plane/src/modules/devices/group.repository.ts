import type { DeviceFilter, PageQuery } from '@drover/contracts';
import { deviceFilterSchema } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Executor, Transaction } from '../../platform/database/database.ts';
import { pageOfRows, readCursor } from '../../platform/http/page.ts';
import { groupCondition } from './device-conditions.ts';
import type { DynamicGroups } from './device-conditions.ts';
import { SqlParameters } from './sql-parameters.ts';

export interface GroupRow {
  readonly id: string;
  readonly name: string;
  readonly filter: DeviceFilter | null;
  readonly createdAt: Date;
}

export interface NewGroup {
  readonly id: string;
  readonly name: string;
  readonly filter: DeviceFilter | null;
}

const COLUMNS = { id: true, name: true, filter: true, createdAt: true } as const;

@Injectable()
export class GroupRepository {
  constructor(private readonly database: Database) {}

  /** The filters of all dynamic groups of a fleet. */
  async dynamic(fleet: string, executor: Executor = this.database.prisma): Promise<DynamicGroups> {
    const rows = await executor.$queryRaw<{ id: string; filter: unknown }[]>`
      SELECT id, filter FROM groups WHERE fleet_id = ${fleet} AND filter IS NOT NULL`;
    return new Map(rows.map((row) => [row.id, deviceFilterSchema.parse(row.filter)]));
  }

  /** Those of some ids that are groups of the fleet. */
  async existing(
    fleet: string,
    ids: readonly string[],
    executor: Executor = this.database.prisma,
  ): Promise<Set<string>> {
    const rows = await executor.group.findMany({
      where: { fleetId: fleet, id: { in: [...ids] } },
      select: { id: true },
    });
    return new Set(rows.map((row) => row.id));
  }

  async page(fleet: string, page: PageQuery): Promise<{ items: GroupRow[]; nextCursor: string | null }> {
    const after = readCursor(page.cursor, ['text']);
    const rows = await this.database.prisma.group.findMany({
      where: { fleetId: fleet, ...(after && { name: { gt: after[0] } }) },
      orderBy: { name: 'asc' },
      take: page.limit + 1,
      select: COLUMNS,
    });
    return pageOfRows(rows as GroupRow[], page.limit, (row) => [row.name]);
  }

  async find(fleet: string, group: string, executor: Executor = this.database.prisma): Promise<GroupRow | null> {
    const row = await executor.group.findUnique({
      where: { fleetId_id: { fleetId: fleet, id: group } },
      select: COLUMNS,
    });
    return row as GroupRow | null;
  }

  /** Numbers of devices in some groups, all in one pass over the fleet's devices. */
  async count(fleet: string, groups: readonly GroupRow[], dynamic: DynamicGroups): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    const fixed = groups.filter((group) => group.filter === null).map((group) => group.id);
    if (fixed.length > 0) {
      const { rows } = await this.database.pool.query<{ id: string; devices: number }>(
        `SELECT group_id AS id, count(*)::int AS devices FROM group_members
          WHERE fleet_id = $1 AND group_id = ANY($2::text[]) GROUP BY group_id`,
        [fleet, fixed],
      );
      for (const row of rows) counts.set(row.id, row.devices);
    }
    const filtered = groups.filter((group) => group.filter !== null);
    if (filtered.length > 0) {
      const parameters = new SqlParameters(fleet);
      const columns = filtered.map(
        (group, i) => `count(*) FILTER (WHERE ${groupCondition(group.id, dynamic, parameters)})::int AS n${i}`,
      );
      const { rows } = await this.database.pool.query<Record<string, number>>(
        `SELECT ${columns.join(', ')} FROM devices d WHERE d.fleet_id = $1 AND d.state = 'active'`,
        parameters.values,
      );
      for (const [i, group] of filtered.entries()) counts.set(group.id, rows[0]![`n${i}`]!);
    }
    return counts;
  }

  /** @returns whether id and name were free */
  async create(tx: Transaction, fleet: string, group: NewGroup): Promise<boolean> {
    const { count } = await tx.group.createMany({
      data: [
        { fleetId: fleet, id: group.id, name: group.name, ...(group.filter && { filter: group.filter as object }) },
      ],
      skipDuplicates: true,
    });
    return count > 0;
  }

  /** Those of some ids that are active devices of the fleet. */
  async activeDevices(tx: Transaction, fleet: string, devices: readonly string[]): Promise<Set<string>> {
    const rows = await tx.$queryRaw<{ id: string }[]>`
      SELECT id FROM devices WHERE fleet_id = ${fleet} AND state = 'active' AND id = ANY(${[...devices]}::text[])`;
    return new Set(rows.map((row) => row.id));
  }

  /** @returns how many were not members before */
  async addMembers(tx: Transaction, fleet: string, group: string, devices: readonly string[]): Promise<number> {
    return tx.$executeRaw`
      INSERT INTO group_members (fleet_id, group_id, device_id)
      SELECT ${fleet}, ${group}, id FROM unnest(${[...devices]}::text[]) AS id ON CONFLICT DO NOTHING`;
  }

  /** @returns whether it was a member */
  async removeMember(tx: Transaction, fleet: string, group: string, device: string): Promise<boolean> {
    const { count } = await tx.groupMember.deleteMany({ where: { fleetId: fleet, groupId: group, deviceId: device } });
    return count > 0;
  }

  /** Tokens that would still put devices into the group. */
  async tokensInto(tx: Transaction, fleet: string, group: string, now: Date): Promise<string[]> {
    const rows = await tx.enrolmentToken.findMany({
      where: { fleetId: fleet, groupId: group, revokedAt: null, expiresAt: { gt: now } },
      select: { id: true },
      take: 5,
    });
    return rows.map((row) => row.id);
  }

  async remove(tx: Transaction, fleet: string, group: string): Promise<void> {
    // Of tokens that are no good any more only the record is left; it must not keep the group.
    await tx.$executeRaw`UPDATE enrolment_tokens SET group_id = NULL WHERE fleet_id = ${fleet} AND group_id = ${group}`;
    await tx.group.delete({ where: { fleetId_id: { fleetId: fleet, id: group } }, select: { id: true } });
  }
}
