import type { DeviceTopic, GetType } from '@drover/contracts';
import { Injectable } from '@nestjs/common';

/** A device as its certificate says. */
export interface DevicePrincipal {
  readonly fleet: string;
  readonly device: string;
  /** Serial number of the certificate that the connection was made with. */
  readonly certificateSerial: string;
}

/** A message from a device that was authorised to publish it; its content is not yet checked. */
export interface DeviceMessage {
  readonly principal: DevicePrincipal;
  readonly topic: string;
  readonly parsed: DeviceTopic;
  readonly payload: Uint8Array;
  /** The connection's last will, published on the device's behalf. */
  readonly will: boolean;
}

type FromDevice = Extract<DeviceTopic, { from: 'device' }>;
/** What a handler is registered for; a `get` by what is asked for, since different modules answer. */
export type DeviceMessageKind = Exclude<FromDevice['kind'], 'get'> | `get:${GetType}`;

/**
 * Resolves once what the message says is committed; only then is it acknowledged. A rejection means "not now" (the database
 * is away): the connection is dropped and the device sends again. Invalid content is no rejection: it is set aside in
 * `rejects` and resolved.
 */
export type DeviceMessageHandler = (message: DeviceMessage) => Promise<void>;

/** Sends to devices, whatever broker carries it. */
export interface DevicePublisher {
  /**
   * What a PUBACK is worth to a device: `puback`, it is the commit; `ack`, only the broker's receipt, and the gateway confirms
   * what it has committed.
   */
  readonly acknowledgement: 'puback' | 'ack';
  /** Whether the device is connected to this gateway. */
  isConnected(device: string): boolean;
  /** @returns whether somebody took it: false where the device is away or has not subscribed. Nothing is queued */
  publish(
    topic: string,
    payload: Uint8Array,
    options?: { readonly retain?: boolean; readonly qos?: 0 | 1 },
  ): Promise<boolean>;
  /**
   * The device's certificate was revoked or replaced: drops its connection (unless that was made with one that is valid) and
   * removes session, queue and retained messages.
   */
  purge(fleet: string, device: string): Promise<void>;
}

/**
 * Where modules meet the broker: each registers what it does with a kind of message; the broker authorises, routes here, and
 * acknowledges what resolved.
 */
@Injectable()
export class DeviceGateway {
  readonly #handlers = new Map<DeviceMessageKind, DeviceMessageHandler>();
  #observer: (principal: DevicePrincipal) => void = () => undefined;
  #publisher: DevicePublisher | undefined;

  register(kind: DeviceMessageKind, handler: DeviceMessageHandler): void {
    this.#handlers.set(kind, handler);
  }

  /** Told of every message that a living device sends, before it is handled. One observer: presence. It must be cheap. */
  observe(observer: (principal: DevicePrincipal) => void): void {
    this.#observer = observer;
  }

  handle(message: DeviceMessage): Promise<void> {
    const { parsed } = message;
    if (!message.will) this.#observer(message.principal);
    const kind = (parsed.kind === 'get' ? `get:${parsed.what}` : parsed.kind) as DeviceMessageKind;
    const handler = this.#handlers.get(kind);
    return handler ? handler(message) : Promise.resolve();
  }

  /** Set by the broker when it has started; undefined in a process without the role `gateway`. */
  set publisher(publisher: DevicePublisher | undefined) {
    this.#publisher = publisher;
  }

  get publisher(): DevicePublisher | undefined {
    return this.#publisher;
  }
}
