import type { Command, DesiredState } from '@drover/contracts';
import type { DeviceConnection, Rejected, TwinClient } from '@drover/device-protocol';
import { messageOf } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import type { EventReporter } from '../telemetry/event-reporter.ts';
import type { DesiredStore } from './desired.store.ts';
import { refusedExecutions } from './refused-executions.ts';

export interface TwinServiceParts {
  readonly connection: DeviceConnection;
  readonly client: TwinClient;
  readonly store: DesiredStore;
  readonly reporter: EventReporter;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A document counts: act on it. Called at start with the stored one, too. */
  readonly onDesired: (desired: DesiredState) => void;
  /** A newer key set counts, whatever became of the document that brought it. */
  readonly onKeys?: () => void;
  readonly onCommand: (command: Command) => Promise<void>;
}

/**
 * Takes the server's documents from the connection to whoever acts on them.
 *
 * INVARIANT: a document is stored before it is adopted, and adopted before anything acts on it; one that cannot be stored is
 * not adopted, so the server sends it again.
 */
export class TwinService {
  readonly #parts: TwinServiceParts;
  #last: Promise<void> = Promise.resolve();

  constructor(parts: TwinServiceParts) {
    this.#parts = parts;
  }

  start(): void {
    const { connection, store, onDesired } = this.#parts;
    if (store.accepted !== null) onDesired(store.accepted.desired);
    connection.on('desired', this.#onDocument).on('command', this.#onCommand);
  }

  async stop(): Promise<void> {
    this.#parts.connection.off('desired', this.#onDocument).off('command', this.#onCommand);
    await this.#last;
  }

  readonly #onDocument = (bytes: Uint8Array): void => {
    this.#inOrder(() => this.#receive(bytes));
  };

  readonly #onCommand = (arrived: { type: string; id: string; bytes: Uint8Array }): void => {
    this.#inOrder(async () => {
      const outcome = this.#parts.client.receiveCommand(arrived);
      if (outcome.kind === 'accepted') await this.#parts.onCommand(outcome.command);
      else this.#refuse(`command ${arrived.type}/${arrived.id}`, outcome);
    });
  };

  /** One after the other: a document must not overtake the one before it on its way to the disk. */
  #inOrder(work: () => Promise<void>): void {
    this.#last = this.#last.then(work).catch((error: unknown) => {
      this.#parts.logger.error({}, `an instruction could not be taken: ${messageOf(error)}`);
    });
  }

  async #receive(bytes: Uint8Array): Promise<void> {
    const { client, store, connection, onDesired, logger } = this.#parts;
    const outcome = client.receive(bytes);
    if (outcome.newKeys !== null) {
      await store.save({ keys: outcome.newKeys });
      this.#parts.onKeys?.();
    }
    if (outcome.kind === 'unchanged') return;
    if (outcome.kind === 'rejected') {
      this.#refuse('desired state', outcome);
      this.#failExecutions(bytes, outcome);
      return;
    }
    const { order, desired } = outcome;
    await store.save({ accepted: { order, desired } });
    client.adopt(order);
    logger.info({ ...order, pipelines: Object.keys(desired.pipelines) }, 'desired state accepted');
    connection.announce();
    onDesired(desired);
  }

  #refuse(what: string, { reason, error }: Rejected): void {
    this.#parts.logger.warn({ reason, code: error.code }, `${what} refused: ${error.message}`);
    this.#parts.reporter.log('error', error.code, `The ${what} was refused: ${error.message}`, { reason });
  }

  #failExecutions(bytes: Uint8Array, { reason, error }: Rejected): void {
    const { store, reporter, clock } = this.#parts;
    for (const execution of refusedExecutions(bytes, store.accepted?.desired ?? null)) {
      reporter.execution({
        execution,
        sequence: 1,
        status: 'FAILED',
        step: null,
        reason,
        message: error.message.slice(0, 2_000),
        progress: null,
        variant: null,
        variantDigest: null,
        provider: null,
        at: clock.now(),
      });
    }
  }
}
