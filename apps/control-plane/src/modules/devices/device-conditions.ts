import type { DeviceFilter, DeviceQuery } from '@drover/contracts';
import type { SqlParameters } from './sql-parameters.ts';

/** Filters of a fleet's dynamic groups, by id. A group that is not here is a static one, or none at all. */
export type DynamicGroups = ReadonlyMap<string, DeviceFilter>;

/** Dynamic groups may name each other; deeper than this they match nothing. */
const MAX_NESTING = 8;

// Conditions are about the row `d` of `devices`. Only `pageConditions` says which fleet; every caller adds it otherwise.

/** The devices that a filter matches: every condition given holds, and a list is satisfied by one of its values. */
export function filterCondition(
  filter: DeviceFilter,
  groups: DynamicGroups,
  parameters: SqlParameters,
  depth = 0,
): string {
  const conditions: string[] = [];
  if (filter.tiers) conditions.push(`d.tier = ANY(${parameters.add(filter.tiers, 'text[]')})`);
  if (filter.tags) conditions.push(`d.tags @> ${parameters.add(JSON.stringify(filter.tags), 'jsonb')}`);
  if (filter.pipelines) conditions.push(`d.pipelines && ${parameters.add(filter.pipelines, 'text[]')}`);
  if (filter.nameContains !== undefined) conditions.push(contains(['d.name'], filter.nameContains, parameters));
  if (filter.groups) {
    const any = filter.groups.map((group) => groupCondition(group, groups, parameters, depth + 1));
    conditions.push(`(${any.join(' OR ')})`);
  }
  return conditions.length === 0 ? 'true' : conditions.join(' AND ');
}

/** The members of a group: those of its filter, or those that were put into it. */
export function groupCondition(group: string, groups: DynamicGroups, parameters: SqlParameters, depth = 0): string {
  if (depth > MAX_NESTING) return 'false';
  const filter = groups.get(group);
  if (filter) return `(${filterCondition(filter, groups, parameters, depth)})`;
  return `EXISTS (SELECT FROM group_members m
    WHERE m.fleet_id = d.fleet_id AND m.device_id = d.id AND m.group_id = ${parameters.add(group, 'text')})`;
}

/** The conditions of a list's query, without paging. Without a state only active devices are listed. */
export function queryConditions(query: DeviceQuery, groups: DynamicGroups, parameters: SqlParameters): string {
  const conditions = [`d.state = ${parameters.add(query.state ?? 'active', 'text')}`];
  if (query.q !== undefined && query.q.trim() !== '')
    conditions.push(contains(['d.name', 'd.id'], query.q.trim(), parameters));
  if (query.tier && query.tier.length > 0) conditions.push(`d.tier = ANY(${parameters.add(query.tier, 'text[]')})`);
  if (query.group !== undefined) conditions.push(groupCondition(query.group, groups, parameters));
  if (query.online !== undefined) {
    const online = 'coalesce(d.online_until > now(), false)';
    conditions.push(query.online === 'true' ? online : `NOT ${online}`);
  }
  // One containment each, so that two values for one key match nothing instead of the last one winning.
  for (const tag of query.tag ?? []) {
    const at = tag.indexOf(':');
    conditions.push(`d.tags @> ${parameters.add(JSON.stringify({ [tag.slice(0, at)]: tag.slice(at + 1) }), 'jsonb')}`);
  }
  return conditions.join(' AND ');
}

/** Any of some columns contains a text, in whatever case. */
function contains(columns: readonly string[], text: string, parameters: SqlParameters): string {
  // PostgreSQL has no text with a NUL, so neither has any device.
  if (text.includes('\0')) return 'false';
  const pattern = parameters.add(`%${text.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`, 'text');
  return `(${columns.map((column) => `${column} ILIKE ${pattern}`).join(' OR ')})`;
}
