import { EVENTS_ROOT, ID_PATTERN, MAX_TOPIC_BYTES, eventTopic } from '@drover/contracts';
import type { FleetEvent } from '@drover/contracts';

/** News of devices: one device is named by the event. */
const DEVICE_FAMILIES = new Set(['anomaly', 'device', 'execution', 'twin']);
/** News of the whole fleet. Everything else (keys, tokens, groups) is the API's alone. */
const FLEET_FAMILIES = new Set(['release', 'rollout']);
/** Families whose subject is the device itself. */
const SUBJECT_IS_DEVICE = new Set(['device', 'twin']);
/** In a device's place, where an event is about none. */
const NO_DEVICE = '-';

/** Where an event is published on the feed, or null where integrations are not told of it. */
export function feedTopic(event: FleetEvent): string | null {
  const family = event.type.slice(0, event.type.indexOf('.'));
  if (FLEET_FAMILIES.has(family)) return eventTopic(event.fleet, NO_DEVICE, event.type);
  if (!DEVICE_FAMILIES.has(family)) return null;
  const device = event.data['device'] ?? (SUBJECT_IS_DEVICE.has(family) ? event.subject : undefined);
  const known = typeof device === 'string' && ID_PATTERN.test(device);
  return eventTopic(event.fleet, known ? device : NO_DEVICE, event.type);
}

/**
 * Whether a key may subscribe to a filter of the feed: its own fleet by name, or all that it may see by a wildcard in the fleet's
 * place (whose events then arrive is decided by the key, never by the filter).
 *
 * @param fleet of the key; null for the instance administrator's
 */
export function mayReadFeed(fleet: string | null, filter: string): boolean {
  const root = `${EVENTS_ROOT}/`;
  if (filter.length > MAX_TOPIC_BYTES || !filter.startsWith(root)) return false;
  const named = filter.slice(root.length).split('/')[0]!;
  return named === '#' || named === '+' || (fleet === null ? ID_PATTERN.test(named) : named === fleet);
}
