import { commandSchema, desiredStateSchema, encodeJson, MAX_TWIN_BYTES, signedDocumentSchema } from '@drover/contracts';
import type { Command, DesiredState, ExecutionReason, KeySet, SignedDocument } from '@drover/contracts';
import { InternalError, messageOf, problemsOf, systemClock } from '@drover/runtime';
import type { Clock, DroverError } from '@drover/runtime';
import {
  compareTwinOrder,
  DocumentMalformedError,
  DowngradeRefusedError,
  EnvelopeForeignError,
  isNewer,
  KeySetDowngradeError,
  UntrustedError,
  verifyEnvelope,
  verifyKeySet,
} from '@drover/trust';
import type { TwinOrder } from '@drover/trust';
import type { DeviceConnection } from '../connection/device-connection.ts';
import { DesiredInvalidError, DocumentTooLargeError } from '../errors.ts';
import type { DeviceIdentity } from '../identity.ts';

// INVARIANTS
// - Only a key set that the pinned root signed is ever used, and its version never falls.
// - A document becomes `seen` by `adopt`, which the agent calls once it has stored it: what was lost in between comes again.

export interface TwinClientOptions {
  readonly identity: Pick<DeviceIdentity, 'fleet' | 'device' | 'rootKey'>;
  /** The newest key set known, signed: the one of the enrolment, or one that a `TwinOutcome` brought since. */
  readonly keys: SignedDocument;
  /** The order of the desired document that is stored, null at the beginning. */
  readonly seen: TwinOrder | null;
  /** How far the device's clock may be ahead. */
  readonly skewMs?: number;
  readonly clock?: Clock;
}

/** A key set newer than the one known, authentic whatever becomes of the document around it: to be stored. */
interface WithKeys {
  readonly newKeys: SignedDocument | null;
}

export interface TwinAccepted extends WithKeys {
  readonly kind: 'accepted';
  readonly order: TwinOrder;
  readonly rollback: boolean;
  readonly desired: DesiredState;
}
/** The document that was adopted last, once more. */
export interface TwinUnchanged extends WithKeys {
  readonly kind: 'unchanged';
  readonly order: TwinOrder;
}
export interface Rejected extends WithKeys {
  readonly kind: 'rejected';
  readonly reason: ExecutionReason;
  readonly error: DroverError;
}
export interface CommandAccepted extends WithKeys {
  readonly kind: 'accepted';
  readonly command: Command;
}
export type TwinOutcome = TwinAccepted | TwinUnchanged | Rejected;
export type CommandOutcome = CommandAccepted | Rejected;

const DEFAULT_SKEW_MS = 5 * 60_000;

/** Decides which of the server's signed documents count for this device. */
export class TwinClient {
  readonly #options: TwinClientOptions;
  readonly #clock: Clock;
  #keySet: KeySet;
  #seen: TwinOrder | null;

  /** @throws UntrustedError where the key set is not one that the identity's root signed */
  constructor(options: TwinClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#keySet = verifyKeySet(options.keys, options.identity.rootKey, 0);
    this.#seen = options.seen;
  }

  /** What to verify manifests with, and to report. */
  get keySet(): KeySet {
    return this.#keySet;
  }

  /** The order of the document adopted last. */
  get seen(): TwinOrder | null {
    return this.#seen;
  }

  /** Judges a `twin/desired` payload. Never throws for what is in it. */
  receive(bytes: Uint8Array): TwinOutcome {
    let newKeys: SignedDocument | null = null;
    try {
      const envelope = parseBounded(bytes);
      newKeys = this.#takeKeys(envelope);
      const { epoch, version, rollback, payload } = this.#verify(envelope, 'twin');
      const order: TwinOrder = { epoch, version };
      if (this.#seen !== null && compareTwinOrder(order, this.#seen) === 0)
        return { kind: 'unchanged', order, newKeys };
      if (!isNewer(order, this.#seen, rollback)) {
        throw new DowngradeRefusedError(
          `Version ${version} of epoch ${epoch} is older than ${this.#seen!.version} of epoch ${this.#seen!.epoch}`,
        );
      }
      const desired = desiredStateSchema.safeParse(payload);
      if (!desired.success) {
        throw new DesiredInvalidError('The desired state is authentic, but this agent does not understand it', {
          problems: problemsOf(desired.error),
        });
      }
      return { kind: 'accepted', order, rollback: rollback ?? false, desired: desired.data, newKeys };
    } catch (error) {
      return rejected(error, newKeys);
    }
  }

  /**
   * Judges a command, by the topic it came on.
   *
   * Commands may arrive twice (QoS 1): what they ask for must not mind.
   */
  receiveCommand({ type, id, bytes }: { type: string; id: string; bytes: Uint8Array }): CommandOutcome {
    try {
      const { payload } = this.#verify(parseBounded(bytes), 'command');
      const command = commandSchema.safeParse(payload);
      if (!command.success) {
        throw new DesiredInvalidError('The command is authentic, but this agent does not understand it', {
          problems: problemsOf(command.error),
        });
      }
      if (command.data.type !== type || command.data.id !== id) {
        throw new EnvelopeForeignError(`The command is signed as ${command.data.type}/${command.data.id}`);
      }
      return { kind: 'accepted', command: command.data, newKeys: null };
    } catch (error) {
      return rejected(error, null);
    }
  }

  /** The document is stored: from now on only newer ones count. */
  adopt(order: TwinOrder): void {
    this.#seen = order;
  }

  /** Asks the server to send the desired document, whether it thinks that we have it or not. */
  request(connection: DeviceConnection): Promise<void> {
    return connection.publish(connection.topics.get('twin'), encodeJson({}), { qos: 1 });
  }

  #verify(envelope: unknown, kind: 'twin' | 'command') {
    return verifyEnvelope(envelope, {
      kind,
      fleet: this.#options.identity.fleet,
      device: this.#options.identity.device,
      keySet: this.#keySet,
      now: this.#clock.now(),
      skewMs: this.#options.skewMs ?? DEFAULT_SKEW_MS,
    });
  }

  /**
   * A rotation reaches us with the instruction that is already signed by the new key, so the key set inside is looked at
   * before the envelope is verified. It needs no trust in the envelope: the root's signature is its own.
   */
  #takeKeys(envelope: unknown): SignedDocument | null {
    const document = (envelope as { payload?: { keys?: unknown } } | null)?.payload?.keys;
    // Without a key set the document is none that we could accept; saying why is left to the checks that follow.
    if (document === undefined) return null;
    let keySet: KeySet;
    try {
      keySet = verifyKeySet(document, this.#options.identity.rootKey, this.#keySet.version);
    } catch (error) {
      // An older set in an older document: the envelope's own order says whether that is acceptable, with today's keys.
      if (error instanceof KeySetDowngradeError) return null;
      throw error;
    }
    if (keySet.version === this.#keySet.version) return null;
    this.#keySet = keySet;
    return signedDocumentSchema.parse(document);
  }
}

function parseBounded(bytes: Uint8Array): unknown {
  if (bytes.length > MAX_TWIN_BYTES) {
    throw new DocumentTooLargeError(`The document is ${bytes.length} bytes; at most ${MAX_TWIN_BYTES} are read`);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new DocumentMalformedError(`The document is no JSON: ${messageOf(error)}`, { cause: error });
  }
}

function rejected(error: unknown, newKeys: SignedDocument | null): Rejected {
  if (error instanceof UntrustedError) return { kind: 'rejected', reason: error.reason, error, newKeys };
  if (error instanceof DesiredInvalidError || error instanceof DocumentTooLargeError) {
    return { kind: 'rejected', reason: error.reason, error, newKeys };
  }
  const defect = new InternalError(`A document could not be judged: ${messageOf(error)}`, { cause: error });
  return { kind: 'rejected', reason: 'internal', error: defect, newKeys };
}
