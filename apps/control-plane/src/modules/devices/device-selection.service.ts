import type { DeviceFilter, RolloutTarget } from '@drover/contracts';
import { InvalidInputError } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import type { Executor } from '../../platform/database/database.ts';
import { filterCondition, groupCondition } from './device-conditions.ts';
import { GroupRepository } from './group.repository.ts';
import { requireAll } from './group.service.ts';
import { SqlParameters } from './sql-parameters.ts';

/**
 * Which devices a target means. The order mixes devices of every kind, so that the first wave is a fair sample, and is the
 * same each time: by the MD5 of the id.
 */
@Injectable()
export class DeviceSelection {
  constructor(private readonly groups: GroupRepository) {}

  /**
   * The active devices of a target, each once.
   *
   * @throws InvalidInputError with a problem for every device or group that there is not, at its path below `target`
   */
  async resolve(executor: Executor, fleet: string, target: RolloutTarget): Promise<string[]> {
    const parameters = new SqlParameters(fleet);
    const condition = await this.#condition(executor, fleet, target, parameters);
    const rows = await executor.$queryRawUnsafe<{ id: string }[]>(
      `SELECT d.id FROM devices d WHERE d.fleet_id = $1 AND d.state = 'active' AND ${condition} ORDER BY md5(d.id), d.id`,
      ...parameters.values,
    );
    const ids = rows.map((row) => row.id);
    if (target.kind === 'devices')
      requireAll(target.devices, new Set(ids), 'target.devices', (id) => `there is no active device "${id}"`);
    return ids;
  }

  async #condition(
    executor: Executor,
    fleet: string,
    target: RolloutTarget,
    parameters: SqlParameters,
  ): Promise<string> {
    if (target.kind === 'devices') return `d.id = ANY(${parameters.add(target.devices, 'text[]')})`;
    const dynamic = await this.groups.dynamic(fleet, executor);
    if (target.kind === 'group') {
      const known = await this.groups.existing(fleet, [target.group], executor);
      if (known.size === 0) {
        const problem = { path: 'target.group', message: `there is no group "${target.group}"` };
        throw new InvalidInputError(`${problem.path}: ${problem.message}`, { problems: [problem] });
      }
      return groupCondition(target.group, dynamic, parameters);
    }
    await this.#requireGroups(executor, fleet, target.filter);
    return filterCondition(target.filter, dynamic, parameters);
  }

  async #requireGroups(executor: Executor, fleet: string, filter: DeviceFilter): Promise<void> {
    const named = filter.groups ?? [];
    const known = await this.groups.existing(fleet, named, executor);
    requireAll(named, known, 'target.filter.groups', (group) => `there is no group "${group}"`);
  }
}
