import type { Counter, Gauge } from 'prom-client';
import type { Metrics } from '../metrics.ts';

/** Counters of one MQTT listener. Plain numbers while messages pass; Prometheus gets them when it is told to. */
export class BrokerMetrics {
  readonly #received = new Map<string, number>();
  readonly #listener: string;
  readonly #connections: Gauge<'listener'>;
  readonly #accepted: Counter<'listener'>;
  readonly #refused: Counter<'listener' | 'reason'>;
  readonly #messages: Counter<'listener' | 'kind'>;
  readonly #sent: Counter<'listener'>;
  #sentCount = 0;

  constructor(metrics: Metrics, listener: string) {
    this.#listener = listener;
    const shared = registered(metrics);
    this.#connections = shared.connections;
    this.#accepted = shared.accepted;
    this.#refused = shared.refused;
    this.#messages = shared.messages;
    this.#sent = shared.sent;
    this.#connections.set({ listener }, 0);
  }

  accepted(): void {
    this.#accepted.inc({ listener: this.#listener });
  }

  refused(reason: string): void {
    this.#refused.inc({ listener: this.#listener, reason });
  }

  received(kind: string): void {
    this.#received.set(kind, (this.#received.get(kind) ?? 0) + 1);
  }

  sent(): void {
    this.#sentCount += 1;
  }

  /** Hands over what was counted since the last time. */
  flush(connections: number): void {
    this.#connections.set({ listener: this.#listener }, connections);
    for (const [kind, count] of this.#received) this.#messages.inc({ listener: this.#listener, kind }, count);
    this.#received.clear();
    if (this.#sentCount > 0) this.#sent.inc({ listener: this.#listener }, this.#sentCount);
    this.#sentCount = 0;
  }
}

interface Registered {
  readonly connections: Gauge<'listener'>;
  readonly accepted: Counter<'listener'>;
  readonly refused: Counter<'listener' | 'reason'>;
  readonly messages: Counter<'listener' | 'kind'>;
  readonly sent: Counter<'listener'>;
}

const byMetrics = new WeakMap<Metrics, Registered>();

/** A metric is registered once; the listeners are a label. */
function registered(metrics: Metrics): Registered {
  let known = byMetrics.get(metrics);
  if (!known) {
    known = {
      connections: metrics.gauge('mqtt_connections', 'Open MQTT connections', ['listener']),
      accepted: metrics.counter('mqtt_connects_total', 'MQTT connections that were accepted', ['listener']),
      refused: metrics.counter('mqtt_refused_total', 'Connections that were refused or ended for what they did', [
        'listener',
        'reason',
      ]),
      messages: metrics.counter('mqtt_received_total', 'Messages received over MQTT', ['listener', 'kind']),
      sent: metrics.counter('mqtt_sent_total', 'Messages sent over MQTT', ['listener']),
    };
    byMetrics.set(metrics, known);
  }
  return known;
}
