import { ID_PATTERN } from '@drover/contracts';
import type { BodyOf, DeviceFilter, Group, PageQuery, api } from '@drover/contracts';
import { InvalidInputError, newId } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { ConflictError, NotFoundError } from '../../platform/http/errors.ts';
import { GroupRepository } from './group.repository.ts';
import type { GroupRow } from './group.repository.ts';

/** Each is an expression of every page of devices: enough for people, few enough for a statement. */
export const MAX_DYNAMIC_GROUPS = 200;

/** Static groups, whose members are put in, and dynamic ones, whose members are whoever fits a stored filter. */
@Injectable()
export class GroupService {
  constructor(
    private readonly database: Database,
    private readonly groups: GroupRepository,
    private readonly events: EventOutbox,
  ) {}

  async list(fleet: string, page: PageQuery): Promise<{ items: Group[]; nextCursor: string | null }> {
    const { items, nextCursor } = await this.groups.page(fleet, page);
    return { items: await this.#withCounts(fleet, items), nextCursor };
  }

  /** @throws NotFoundError */
  async get(fleet: string, id: string): Promise<Group> {
    const group = ID_PATTERN.test(id) ? await this.groups.find(fleet, id) : null;
    if (!group) throw NotFoundError.of('group', id);
    return (await this.#withCounts(fleet, [group]))[0]!;
  }

  /** @throws InvalidInputError, ConflictError */
  async create(fleet: string, input: BodyOf<typeof api.groups.create>): Promise<Group> {
    const { name, filter = null, devices = [] } = input;
    const id = input.id ?? newId('grp');
    if (filter && devices.length > 0) {
      throw new InvalidInputError('A group has either a filter or devices that are put into it.', {
        problems: [{ path: 'devices', message: 'must not be given together with a filter' }],
      });
    }
    await this.database.transaction(async (tx) => {
      if (filter) await this.#requireFilter(tx, fleet, filter);
      if (!(await this.groups.create(tx, fleet, { id, name, filter })))
        throw new ConflictError(`There is a group with the id "${id}" or the name "${name}" already.`);
      await this.#addMembers(tx, fleet, id, devices);
      await this.events.append(tx, { fleet, type: 'group.created', subject: id, data: { name, filter } });
    });
    return this.get(fleet, id);
  }

  /** @throws NotFoundError, ConflictError for a dynamic group, InvalidInputError for devices that there are not */
  async addDevices(fleet: string, id: string, devices: readonly string[]): Promise<Group> {
    await this.database.transaction(async (tx) => {
      await this.#requireStatic(tx, fleet, id);
      const added = await this.#addMembers(tx, fleet, id, devices);
      if (added > 0)
        await this.events.append(tx, {
          fleet,
          type: 'group.devices-changed',
          subject: id,
          data: { added, removed: 0 },
        });
    });
    return this.get(fleet, id);
  }

  /** @throws NotFoundError, ConflictError for a dynamic group */
  async removeDevice(fleet: string, id: string, device: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      await this.#requireStatic(tx, fleet, id);
      if (!ID_PATTERN.test(device) || !(await this.groups.removeMember(tx, fleet, id, device)))
        throw new NotFoundError(`Device "${device}" is not in group "${id}".`);
      const data = { added: 0, removed: 1, device };
      await this.events.append(tx, { fleet, type: 'group.devices-changed', subject: id, data });
    });
  }

  /** @throws NotFoundError, ConflictError while something still counts on the group */
  async remove(fleet: string, id: string): Promise<void> {
    await this.database.transaction(async (tx) => {
      await this.#require(tx, fleet, id);
      const filters = await this.groups.dynamic(fleet, tx);
      // Were it deleted, another group of that id could be made whose filter leads back: a circle.
      const users = [...filters].filter(([, filter]) => filter.groups?.includes(id)).map(([user]) => user);
      if (users.length > 0)
        throw new ConflictError(`The filter of ${users.join(', ')} names this group; delete that first.`);
      const tokens = await this.groups.tokensInto(tx, fleet, id, new Date());
      if (tokens.length > 0)
        throw new ConflictError(
          `Enrolment tokens put devices into this group (${tokens.join(', ')}); revoke them first.`,
        );
      await this.groups.remove(tx, fleet, id);
      await this.events.append(tx, { fleet, type: 'group.deleted', subject: id });
    });
  }

  /** Of a group that devices can be put into, as a token's default. @throws InvalidInputError at `path` */
  async requireStaticAt(tx: Transaction, fleet: string, id: string, path: string): Promise<void> {
    const group = await this.groups.find(fleet, id, tx);
    if (group && group.filter === null) return;
    const message = group ? `"${id}" is a dynamic group: devices cannot be put into it` : `there is no group "${id}"`;
    throw new InvalidInputError(`${path}: ${message}`, { problems: [{ path, message }] });
  }

  /** Puts one device into a group, unless the group is gone or has become dynamic since that was decided. */
  async join(tx: Transaction, fleet: string, id: string, device: string): Promise<void> {
    const group = await this.groups.find(fleet, id, tx);
    if (group?.filter === null) await this.groups.addMembers(tx, fleet, id, [device]);
  }

  async #withCounts(fleet: string, rows: readonly GroupRow[]): Promise<Group[]> {
    const counts = await this.groups.count(fleet, rows, await this.groups.dynamic(fleet));
    return rows.map((row) => ({
      id: row.id,
      name: row.name,
      filter: row.filter,
      devices: counts.get(row.id) ?? 0,
      createdAt: row.createdAt.toISOString(),
    }));
  }

  async #require(tx: Transaction, fleet: string, id: string): Promise<GroupRow> {
    const group = ID_PATTERN.test(id) ? await this.groups.find(fleet, id, tx) : null;
    if (!group) throw NotFoundError.of('group', id);
    return group;
  }

  async #requireStatic(tx: Transaction, fleet: string, id: string): Promise<void> {
    const group = await this.#require(tx, fleet, id);
    if (group.filter !== null)
      throw new ConflictError(`"${id}" is a dynamic group: its filter says which devices are in it.`);
  }

  async #requireFilter(tx: Transaction, fleet: string, filter: DeviceFilter): Promise<void> {
    if ((await this.groups.dynamic(fleet, tx)).size >= MAX_DYNAMIC_GROUPS)
      throw new ConflictError(`A fleet can have ${MAX_DYNAMIC_GROUPS} dynamic groups; delete one first.`);
    const named = filter.groups ?? [];
    const known = await this.groups.existing(fleet, named, tx);
    requireAll(named, known, 'filter.groups', (group) => `there is no group "${group}"`);
  }

  async #addMembers(tx: Transaction, fleet: string, id: string, devices: readonly string[]): Promise<number> {
    if (devices.length === 0) return 0;
    const known = await this.groups.activeDevices(tx, fleet, devices);
    requireAll(devices, known, 'devices', (device) => `there is no active device "${device}"`);
    return this.groups.addMembers(tx, fleet, id, devices);
  }
}

/** Every id that is not known becomes a problem at its place. @throws InvalidInputError */
export function requireAll(
  ids: readonly string[],
  known: ReadonlySet<string>,
  path: string,
  messageOf: (id: string) => string,
): void {
  const problems: FieldProblem[] = [];
  for (const [i, id] of ids.entries())
    if (!known.has(id)) problems.push({ path: `${path}.${i}`, message: messageOf(id) });
  if (problems.length === 0) return;
  const shown = problems.slice(0, 3).map((problem) => `${problem.path}: ${problem.message}`);
  const rest = problems.length > shown.length ? `; and ${problems.length - shown.length} more` : '';
  throw new InvalidInputError(`${shown.join('; ')}${rest}`, { problems: problems.slice(0, 100) });
}
