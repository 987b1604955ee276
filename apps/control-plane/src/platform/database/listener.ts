import { Backoff, messageOf, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import pg from 'pg';

const CONNECT_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 1_000;

/**
 * LISTEN on a connection of its own. A notice only wakes; whoever is woken looks for himself. After every (re)connect all
 * listeners are woken once, because notices of the time between are lost.
 */
export class NoticeListener {
  readonly #connectionString: string;
  readonly #logger: Logger;
  readonly #handlers = new Map<string, Set<() => void>>();
  readonly #backoff = new Backoff(100, 5_000);
  #client: pg.Client | undefined;
  #stopped = false;
  #running: Promise<void> | undefined;
  readonly #abort = new AbortController();

  constructor(connectionString: string, logger: Logger) {
    this.#connectionString = connectionString;
    this.#logger = logger;
  }

  /** @returns a function that ends the subscription */
  on(channel: string, handler: () => void): () => void {
    const handlers = this.#handlers.get(channel) ?? new Set();
    const first = handlers.size === 0;
    handlers.add(handler);
    this.#handlers.set(channel, handlers);
    if (first) void this.#client?.query(`LISTEN ${pg.escapeIdentifier(channel)}`).catch(() => undefined);
    return () => handlers.delete(handler);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#session();
      } catch (error) {
        if (!this.#stopped)
          this.#logger.warn({ err: messageOf(error) }, 'The connection that listens for notices was lost');
      }
      await sleep(this.#backoff.next(), this.#abort.signal).catch(() => undefined);
    }
  }

  async #session(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#connectionString,
      application_name: 'drover-listen',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    });
    const ended = new Promise<void>((resolve) => {
      client.once('end', () => resolve());
      client.on('error', () => resolve());
      // Also where the stop comes while it is still connecting: nobody else would end it then.
      this.#abort.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      await client.connect();
      if (this.#stopped) return;
      this.#client = client;
      client.on('notification', ({ channel }) => this.#wake(channel));
      for (const channel of this.#handlers.keys()) await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
      this.#backoff.reset();
      for (const channel of this.#handlers.keys()) this.#wake(channel);
      await ended;
    } finally {
      this.#client = undefined;
      // A server that hangs does not answer a goodbye either.
      await Promise.race([client.end().catch(() => undefined), sleep(END_TIMEOUT_MS)]);
    }
  }

  #wake(channel: string): void {
    for (const handler of this.#handlers.get(channel) ?? []) handler();
  }
}
