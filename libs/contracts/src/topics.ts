import { ID_PATTERN } from './ids.ts';

/** Topics of the device protocol (`drover/v1/…`) and of the integrations' feed (`drover-events/v1/…`). */
export const DEVICE_ROOT = 'drover/v1';
export const EVENTS_ROOT = 'drover-events/v1';

/** Longer topics are refused before they are taken apart. */
export const MAX_TOPIC_BYTES = 512;

export function devicePrefix(fleet: string, device: string): string {
  return `${DEVICE_ROOT}/${fleet}/${device}`;
}

/** Every topic of one device. Which side may publish is in `parseDeviceTopic`. */
export function deviceTopics(fleet: string, device: string) {
  const prefix = devicePrefix(fleet, device);
  return {
    prefix,
    status: `${prefix}/status`,
    reported: `${prefix}/twin/reported`,
    desired: `${prefix}/twin/desired`,
    ack: `${prefix}/ack`,
    allCommands: `${prefix}/cmd/+/+`,
    allChunks: `${prefix}/chunk/+/+`,
    measurements: (stream: string) => `${prefix}/m/${stream}`,
    event: (type: EventType) => `${prefix}/e/${type}`,
    get: (what: GetType) => `${prefix}/get/${what}`,
    command: (type: string, id: string) => `${prefix}/cmd/${type}/${id}`,
    commandStatus: (type: string, id: string) => `${prefix}/cmd/${type}/${id}/status`,
    chunk: (digest: string, offset: number) => `${prefix}/chunk/${digest}/${offset}`,
  };
}

/** The feed's topic for one kind of news of one device. */
export function eventTopic(fleet: string, device: string, kind: string): string {
  return `${EVENTS_ROOT}/${fleet}/${device}/${kind}`;
}

export const EVENT_TYPES = ['anomaly', 'execution', 'escalation', 'benchmark', 'log'] as const;
export type EventType = (typeof EVENT_TYPES)[number];
export const GET_TYPES = ['twin', 'chunk', 'time'] as const;
export type GetType = (typeof GET_TYPES)[number];

/** A device topic taken apart. `from` says which side may publish it. */
export type DeviceTopic = { fleet: string; device: string } & (
  | { from: 'device'; kind: 'status' }
  | { from: 'device'; kind: 'measurement'; stream: string }
  | { from: 'device'; kind: 'event'; type: EventType }
  | { from: 'device'; kind: 'reported' }
  | { from: 'device'; kind: 'get'; what: GetType }
  | { from: 'device'; kind: 'command-status'; type: string; id: string }
  | { from: 'server'; kind: 'desired' }
  | { from: 'server'; kind: 'command'; type: string; id: string }
  | { from: 'server'; kind: 'chunk'; digest: string; offset: number }
  | { from: 'server'; kind: 'ack' }
);

/** Takes a concrete topic (no wildcards) apart, or null where it is none of the protocol's. */
export function parseDeviceTopic(topic: string): DeviceTopic | null {
  if (topic.length > MAX_TOPIC_BYTES) return null;
  const parts = topic.split('/');
  if (parts.length < 5 || parts[0] !== 'drover' || parts[1] !== 'v1') return null;
  const [, , fleet, device, room, a, b, c] = parts as [
    string,
    string,
    string,
    string,
    string,
    string?,
    string?,
    string?,
  ];
  if (!ID_PATTERN.test(fleet) || !ID_PATTERN.test(device)) return null;
  const at = { fleet, device };
  switch (`${room}:${parts.length}`) {
    case 'status:5':
      return { ...at, from: 'device', kind: 'status' };
    case 'ack:5':
      return { ...at, from: 'server', kind: 'ack' };
    case 'm:6':
      return ID_PATTERN.test(a!) ? { ...at, from: 'device', kind: 'measurement', stream: a! } : null;
    case 'e:6':
      return includes(EVENT_TYPES, a!) ? { ...at, from: 'device', kind: 'event', type: a } : null;
    case 'get:6':
      return includes(GET_TYPES, a!) ? { ...at, from: 'device', kind: 'get', what: a } : null;
    case 'twin:6':
      if (a === 'reported') return { ...at, from: 'device', kind: 'reported' };
      return a === 'desired' ? { ...at, from: 'server', kind: 'desired' } : null;
    case 'chunk:7':
      return /^[0-9a-f]{64}$/.test(a!) && /^\d{1,15}$/.test(b!)
        ? { ...at, from: 'server', kind: 'chunk', digest: a!, offset: Number(b) }
        : null;
    case 'cmd:7':
      return ID_PATTERN.test(a!) && ID_PATTERN.test(b!)
        ? { ...at, from: 'server', kind: 'command', type: a!, id: b! }
        : null;
    case 'cmd:8':
      return ID_PATTERN.test(a!) && ID_PATTERN.test(b!) && c === 'status'
        ? { ...at, from: 'device', kind: 'command-status', type: a!, id: b! }
        : null;
    default:
      return null;
  }
}

function includes<T extends string>(list: readonly T[], value: string): value is T {
  return (list as readonly string[]).includes(value);
}

/**
 * Whether a device may subscribe to a filter: only what the server publishes below the device's own prefix, `+` allowed
 * for the parts after it, never `#` or a shared subscription.
 */
export function deviceMaySubscribe(fleet: string, device: string, filter: string): boolean {
  if (filter.length > MAX_TOPIC_BYTES) return false;
  const prefix = `${devicePrefix(fleet, device)}/`;
  if (!filter.startsWith(prefix)) return false;
  return /^(twin\/desired|ack|cmd\/(\+|[A-Za-z0-9_-]{1,64})\/(\+|[A-Za-z0-9_-]{1,64})|chunk\/(\+|[0-9a-f]{64})\/(\+|\d{1,15}))$/.test(
    filter.slice(prefix.length),
  );
}
