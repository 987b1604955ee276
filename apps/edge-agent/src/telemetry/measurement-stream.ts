import type { Outbox } from '@drover/device-protocol';
import type { Sample } from '../sensors/sensor.ts';
import { measurementMessages } from './measurement-message.ts';
import { RowAggregator } from './row-aggregator.ts';
import type { Row } from './row-aggregator.ts';

/** Rows wait this long for company: fast sensors then send columnar batches, slow ones notice nothing. */
const FLUSH_MS = 200;
const FLUSH_ROWS = 1_024;

/** Puts one sensor's samples into the outbox: summarised per interval, several rows of a moment in one message. */
export class MeasurementStream {
  readonly #outbox: Outbox;
  readonly #topic: string;
  readonly #channels: readonly string[];
  readonly #flushMs: number;
  readonly #aggregator: RowAggregator;
  #rows: Row[] = [];
  #timer: NodeJS.Timeout | null = null;

  /**
   * @param intervalMs samples are summarised per this time; 0: each is sent
   * @param flushMs how long rows wait for company
   */
  constructor(
    outbox: Outbox,
    topic: string,
    channels: readonly string[],
    intervalMs: number,
    flushMs: number = FLUSH_MS,
  ) {
    this.#outbox = outbox;
    this.#topic = topic;
    this.#channels = channels;
    this.#flushMs = flushMs;
    this.#aggregator = new RowAggregator(intervalMs);
  }

  add(sample: Sample): void {
    this.#take(this.#aggregator.add(sample));
  }

  setInterval(intervalMs: number): void {
    this.#take(this.#aggregator.setInterval(intervalMs));
  }

  /** The end of the stream: what was begun is stored. */
  stop(): void {
    this.#take(this.#aggregator.take());
    this.#flush();
  }

  #take(row: Row | undefined): void {
    if (row === undefined) return;
    this.#rows.push(row);
    if (this.#rows.length >= FLUSH_ROWS) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), this.#flushMs);
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#rows.length === 0) return;
    const rows = this.#rows;
    this.#rows = [];
    for (const body of measurementMessages(this.#channels, rows)) {
      this.#outbox.put({ class: 'm', topic: this.#topic, body, codec: 'columns' in body ? 'cbor' : 'json' });
    }
  }
}
