import { OperationError, messageOf, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { Client } from 'pg';

/** A second gateway with an embedded broker: each would hold a part of the devices, and know nothing of the other's. */
export class SecondGatewayError extends OperationError {}

/** Any number that nothing else on the database locks. */
const LOCK = 0x67617465;
/** A gateway that was killed a moment ago may still hold it. */
const PATIENCE_MS = 5_000;
const RETRY_MS = 200;

/**
 * The right to be the one gateway with an embedded broker: a lock of the database that lives as long as its connection, so a
 * killed process leaves nothing behind.
 */
export class SoleGateway {
  readonly #connectionString: string;
  readonly #logger: Logger;
  readonly #patienceMs: number;
  readonly #stopping = new AbortController();
  #client: Client | undefined;
  #holding: Promise<void> | undefined;

  constructor(connectionString: string, logger: Logger, patienceMs = PATIENCE_MS) {
    this.#connectionString = connectionString;
    this.#logger = logger;
    this.#patienceMs = patienceMs;
  }

  /** @throws SecondGatewayError */
  async acquire(): Promise<void> {
    const deadline = performance.now() + this.#patienceMs;
    let lost = await this.#tryOnce();
    while (!lost) {
      if (performance.now() > deadline) {
        throw new SecondGatewayError(
          'Another process with the role "gateway" runs on this database. Several gateways need a broker between them: give all of them MQTT_URL.',
        );
      }
      await sleep(RETRY_MS);
      lost = await this.#tryOnce();
    }
    this.#holding = this.#hold(lost);
  }

  async release(): Promise<void> {
    this.#stopping.abort();
    await this.#client?.end().catch(() => undefined);
    await this.#holding;
  }

  /** @returns null where somebody else has it, else what resolves when it is lost */
  async #tryOnce(): Promise<{ readonly ended: Promise<void> } | null> {
    const client = new Client({ connectionString: this.#connectionString, application_name: 'drover-gateway' });
    const ended = new Promise<void>((resolve) => {
      client.once('end', () => resolve());
      client.on('error', () => resolve());
    });
    await client.connect();
    const { rows } = await client.query<{ held: boolean }>('SELECT pg_try_advisory_lock($1) AS held', [LOCK]);
    if (rows[0]!.held) {
      this.#client = client;
      return { ended };
    }
    await client.end();
    return null;
  }

  /** The database was restarted: take it again, as soon as that is possible. */
  async #hold(first: { readonly ended: Promise<void> }): Promise<void> {
    const { signal } = this.#stopping;
    let held: { readonly ended: Promise<void> } | null = first;
    while (!signal.aborted) {
      if (held) await held.ended;
      if (signal.aborted) return;
      await sleep(RETRY_MS, signal).catch(() => undefined);
      try {
        held = await this.#tryOnce();
        if (!held) this.#logger.error({}, 'Another gateway has started on this database while it was away');
      } catch (error) {
        held = null;
        this.#logger.debug({ err: messageOf(error) }, 'The gateway lock cannot be taken at the moment');
      }
    }
    await this.#client?.end().catch(() => undefined);
  }
}
