import { DELIVERY_CLASSES } from '@drover/contracts';
import type { AckMessage, DeliveryClass } from '@drover/contracts';
import { silentLogger, systemClock } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import type { DeviceConnection } from '../connection/device-connection.ts';
import type { Outbox, SequenceRange, StoredMessage } from './outbox.ts';

// INVARIANTS
// - A message is removed only when the server has committed it: by PUBACK on a connection whose server said `puback`, or
//   named in `committed`. As long as the server has not said what a PUBACK is worth, none is worth anything.
// - All that is not removed is sent again on the next connection, with the same bytes in the same order per class.
// - At most `maxInFlight` messages (`maxUnconfirmed` where the server confirms later) and `maxInFlightBytes` are under way.

export interface OutboxSenderOptions {
  readonly outbox: Outbox;
  readonly connection: DeviceConnection;
  readonly maxInFlight?: number;
  /** Where PUBACK is not the commit, so that confirmations come in batches and late. */
  readonly maxUnconfirmed?: number;
  readonly maxInFlightBytes?: number;
  /** Where a confirmation went missing: everything unconfirmed is sent again after this time without any progress. */
  readonly resendAfterMs?: number;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/** Events and state before measurements: a backlog of a million samples must not delay an anomaly. */
const SEND_ORDER: readonly DeliveryClass[] = ['e', 's', 'm'];
const PAGE_MESSAGES = 64;

interface Sent {
  readonly message: StoredMessage;
  acknowledged: boolean;
}

/** Where sending stands on one connection. Replaced, never reused: late callbacks of an old one find it is not theirs. */
interface Flight {
  readonly sent: Record<DeliveryClass, Map<number, Sent>>;
  readonly cursor: Record<DeliveryClass, number>;
  readonly page: Record<DeliveryClass, StoredMessage[]>;
  readonly exhausted: Record<DeliveryClass, boolean>;
  count: number;
  bytes: number;
  progressAt: number;
}

export class OutboxSender {
  readonly #outbox: Outbox;
  readonly #connection: DeviceConnection;
  readonly #maxInFlight: number;
  readonly #maxUnconfirmed: number;
  readonly #maxBytes: number;
  readonly #resendAfterMs: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #flight: Flight | null = null;
  #mode: AckMessage['mode'] | null = null;
  #detach: (() => void) | null = null;
  #watchdog: NodeJS.Timeout | null = null;

  constructor(options: OutboxSenderOptions) {
    this.#outbox = options.outbox;
    this.#connection = options.connection;
    this.#maxInFlight = options.maxInFlight ?? 64;
    this.#maxUnconfirmed = options.maxUnconfirmed ?? 1_024;
    this.#maxBytes = options.maxInFlightBytes ?? 2 ** 20;
    this.#resendAfterMs = options.resendAfterMs ?? 60_000;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
  }

  /** Messages sent on this connection whose commit is not known. */
  get inFlight(): number {
    return this.#flight?.count ?? 0;
  }

  start(): void {
    if (this.#detach !== null) return;
    const onOnline = (): void => {
      this.#mode = null;
      this.#begin();
    };
    const onOffline = (): void => this.#halt();
    const onAck = (message: AckMessage): void => this.#onAck(message);
    this.#connection.on('online', onOnline).on('offline', onOffline).on('ack', onAck);
    const stopListening = this.#outbox.onStored(() => this.#onStored());
    this.#detach = () => {
      this.#connection.off('online', onOnline).off('offline', onOffline).off('ack', onAck);
      stopListening();
    };
    if (this.#connection.online) onOnline();
  }

  /** Sends nothing more; what is under way stays stored unless its commit was already known. */
  stop(): void {
    this.#detach?.();
    this.#detach = null;
    this.#halt();
  }

  #begin(): void {
    this.#flight = {
      sent: { m: new Map(), e: new Map(), s: new Map() },
      cursor: { m: 0, e: 0, s: 0 },
      page: { m: [], e: [], s: [] },
      exhausted: { m: false, e: false, s: false },
      count: 0,
      bytes: 0,
      progressAt: this.#clock.monotonic(),
    };
    this.#watch();
    this.#pump();
  }

  #halt(): void {
    this.#flight = null;
    if (this.#watchdog !== null) clearTimeout(this.#watchdog);
    this.#watchdog = null;
  }

  #onStored(): void {
    if (this.#flight === null) return;
    for (const name of DELIVERY_CLASSES) this.#flight.exhausted[name] = false;
    this.#pump();
  }

  #pump(): void {
    const flight = this.#flight;
    if (flight === null) return;
    const limit = this.#mode === 'ack' ? this.#maxUnconfirmed : this.#maxInFlight;
    while (flight.count < limit && (flight.bytes < this.#maxBytes || flight.count === 0)) {
      const message = this.#next(flight);
      if (message === null) return;
      const sent: Sent = { message, acknowledged: false };
      flight.sent[message.class].set(message.id, sent);
      flight.count += 1;
      flight.bytes += message.payload.length;
      this.#connection.send(message.topic, message.payload, { qos: 1 }, (error) => {
        // An error means the connection is ending: `offline` follows, and the message is still stored.
        if (error !== null || flight !== this.#flight) return;
        sent.acknowledged = true;
        if (this.#mode === 'puback') this.#settle(flight, sent);
      });
      // Sending may have found the connection gone.
      if (flight !== this.#flight) return;
    }
  }

  #next(flight: Flight): StoredMessage | null {
    for (const name of SEND_ORDER) {
      if (flight.page[name].length === 0 && !flight.exhausted[name]) {
        const page = this.#outbox.read(name, flight.cursor[name], PAGE_MESSAGES, this.#maxBytes);
        flight.exhausted[name] = page.length === 0;
        flight.cursor[name] = page.at(-1)?.id ?? flight.cursor[name];
        // Taken from the end, so kept in reverse.
        flight.page[name] = page.toReversed();
      }
      const message = flight.page[name].pop();
      if (message !== undefined) return message;
    }
    return null;
  }

  #settle(flight: Flight, sent: Sent): void {
    if (this.#forget(flight, sent)) this.#outbox.remove(sent.message.class, [sent.message.id]);
    this.#pump();
  }

  #forget(flight: Flight, { message }: Sent): boolean {
    if (!flight.sent[message.class].delete(message.id)) return false;
    flight.count -= 1;
    flight.bytes -= message.payload.length;
    flight.progressAt = this.#clock.monotonic();
    return true;
  }

  #onAck(ack: AckMessage): void {
    const flight = this.#flight;
    if (ack.bootId !== undefined && ack.committed !== undefined) {
      for (const name of DELIVERY_CLASSES) {
        const ranges = ack.committed[name];
        if (ranges !== undefined) this.#committed(flight, ack.bootId, name, ranges);
      }
    }
    if (ack.mode !== undefined && ack.mode !== this.#mode) {
      this.#mode = ack.mode;
      if (ack.mode === 'puback' && flight !== null) {
        const acknowledged = DELIVERY_CLASSES.flatMap((name) => [...flight.sent[name].values()]).filter(
          (sent) => sent.acknowledged,
        );
        for (const sent of acknowledged) this.#settle(flight, sent);
      }
    }
    this.#pump();
  }

  #committed(flight: Flight | null, bootId: string, name: DeliveryClass, ranges: readonly SequenceRange[]): void {
    this.#outbox.removeCommitted(bootId, name, ranges);
    if (flight === null) return;
    for (const sent of flight.sent[name].values()) {
      const { message } = sent;
      if (message.bootId !== bootId) continue;
      if (ranges.some(([from, to]) => message.seq >= from && message.seq <= to)) this.#forget(flight, sent);
    }
  }

  /** Only where the server confirms by message can a confirmation get lost; a PUBACK ends with its connection. */
  #watch(): void {
    if (this.#watchdog !== null) clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => {
      const flight = this.#flight;
      if (flight === null) return;
      const silentMs = this.#clock.monotonic() - flight.progressAt;
      if (this.#mode === 'ack' && flight.count > 0 && silentMs >= this.#resendAfterMs) {
        this.#logger.warn({ unconfirmed: flight.count, silentMs }, 'no confirmation: sending again');
        this.#begin();
      } else {
        this.#watch();
      }
    }, this.#resendAfterMs / 2);
    this.#watchdog.unref();
  }
}
