import { deviceMaySubscribe, parseDeviceTopic } from '@drover/contracts';
import type { DeviceTopic } from '@drover/contracts';
import type { Duplex } from 'node:stream';
import type { DevicePrincipal } from './device-gateway.ts';
import { MqttConnection } from './mqtt-connection.ts';

export type TopicFromDevice = Extract<DeviceTopic, { from: 'device' }>;

/** @param username as the device says; where a certificate says who it is, it counts for nothing */
type Identify = (username: string | undefined) => Promise<DevicePrincipal | null>;

/** What may wait for a device that does not read: some chunks of a model. */
const MAX_PENDING_BYTES = 4 * 2 ** 20;
const REMEMBERED_TOPICS = 32;

/** A device's connection: who it is, and what it may therefore say and hear. */
export class DeviceConnection extends MqttConnection {
  principal: DevicePrincipal | undefined;
  /** Asks again whom the connection belongs to: null where its certificate is worth nothing any more. */
  readonly identify: Identify;
  /** The answer to the first time, which was asked when the connection was opened. */
  readonly #identified: ReturnType<Identify> | undefined;
  username: string | undefined;
  /** When the certificate of this connection expires; milliseconds since the epoch. */
  readonly expiresAt: number;
  /** A clock's reading when the identity was asked for: a later revocation voids it. */
  readonly openedAt: number;
  readonly #topics = new Map<string, TopicFromDevice>();

  constructor(
    socket: Duplex,
    options: {
      readonly identify: Identify;
      readonly identified?: ReturnType<Identify>;
      readonly expiresAt: number;
      readonly openedAt: number;
    },
  ) {
    super(socket, MAX_PENDING_BYTES);
    this.identify = options.identify;
    this.#identified = options.identified;
    this.expiresAt = options.expiresAt;
    this.openedAt = options.openedAt;
  }

  /** Whom the connection belongs to, or null. */
  identity(): ReturnType<Identify> {
    return this.#identified ?? this.identify(this.username);
  }

  /** The topic taken apart where this device may publish to it, else null. Devices use few topics: they are remembered. */
  publishable(topic: string): TopicFromDevice | null {
    const known = this.#topics.get(topic);
    if (known) return known;
    const parsed = publishableBy(this.principal, topic);
    if (!parsed) return null;
    if (this.#topics.size >= REMEMBERED_TOPICS) this.#topics.clear();
    this.#topics.set(topic, parsed);
    return parsed;
  }

  maySubscribe(filter: string): boolean {
    return this.principal !== undefined && deviceMaySubscribe(this.principal.fleet, this.principal.device, filter);
  }
}

/** A device publishes only device topics, and only below its own prefix. */
export function publishableBy(principal: DevicePrincipal | undefined, topic: string): TopicFromDevice | null {
  const parsed = parseDeviceTopic(topic);
  if (!parsed || parsed.from !== 'device' || !principal) return null;
  return parsed.fleet === principal.fleet && parsed.device === principal.device ? parsed : null;
}
