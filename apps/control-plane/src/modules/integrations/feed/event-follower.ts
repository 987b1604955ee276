import type { FleetEvent } from '@drover/contracts';
import type { Logger } from '@drover/runtime';
import { messageOf } from '@drover/runtime';
import type { NoticeListener } from '../../../platform/database/listener.ts';
import { followEvents } from '../../../platform/events/event-feed.ts';
import type { EventReader } from '../../../platform/events/event-reader.ts';

/** Follows the event stream while somebody wants it, from the moment at which the first one did. */
export class EventFollower {
  readonly #reader: EventReader;
  readonly #listener: NoticeListener;
  readonly #logger: Logger;
  readonly #onEvents: (events: readonly FleetEvent[]) => void;
  #wanted = 0;
  #started: Promise<void> | undefined;
  #following: AbortController | undefined;
  #done: Promise<void> = Promise.resolve();

  constructor(
    reader: EventReader,
    listener: NoticeListener,
    logger: Logger,
    onEvents: (events: readonly FleetEvent[]) => void,
  ) {
    this.#reader = reader;
    this.#listener = listener;
    this.#logger = logger;
    this.#onEvents = onEvents;
  }

  get running(): boolean {
    return this.#following !== undefined;
  }

  /** From when this resolves on, every event that is committed will be delivered. Every call needs its `release`. */
  async acquire(): Promise<void> {
    this.#wanted += 1;
    try {
      this.#started ??= this.#start();
      await this.#started;
    } catch (error) {
      this.#started = undefined;
      this.release();
      throw error;
    }
  }

  release(): void {
    this.#wanted -= 1;
    if (this.#wanted > 0) return;
    this.#following?.abort();
    this.#following = undefined;
    this.#started = undefined;
  }

  /** Resolves when nothing is being followed any more; everybody has released before. */
  async ended(): Promise<void> {
    await this.#done;
  }

  async #start(): Promise<void> {
    const from = await this.#reader.end();
    if (this.#wanted === 0 || this.#following) return;
    const abort = new AbortController();
    this.#following = abort;
    const before = this.#done;
    const now = this.#follow(from, abort.signal);
    this.#done = before.then(() => now);
  }

  async #follow(from: Awaited<ReturnType<EventReader['end']>>, signal: AbortSignal): Promise<void> {
    const options = { signal, logger: this.#logger };
    for await (const events of followEvents(this.#reader, this.#listener, from, options)) {
      if (signal.aborted) return;
      try {
        this.#onEvents(events);
      } catch (error) {
        this.#logger.error({ err: messageOf(error) }, 'Events could not be published');
      }
    }
  }
}
