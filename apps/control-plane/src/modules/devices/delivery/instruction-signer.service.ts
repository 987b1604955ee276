import { encodeJson } from '@drover/contracts';
import type { Command, DesiredState } from '@drover/contracts';
import { systemClock } from '@drover/runtime';
import type { Clock } from '@drover/runtime';
import { signEnvelope } from '@drover/trust';
import { Injectable } from '@nestjs/common';
import { KeyStore } from '../../../platform/keys/key-store.ts';
import type { DeviceRef } from './device-ref.ts';

/** Where a twin stands, and what it says. */
export interface TwinToSend extends DeviceRef {
  readonly epoch: number;
  readonly version: number;
  readonly rollback: boolean;
  readonly desired: Pick<DesiredState, 'pipelines'> & { readonly config: Partial<DesiredState['config']> };
}

export interface CommandToSend extends DeviceRef {
  /** Of the outbox row. */
  readonly id: string;
  readonly command: Command;
  /** Of the device's twin. */
  readonly epoch: number;
  readonly version: number;
}

/** How long a signed instruction counts. A device that is away for longer gets a newly signed one when it comes back. */
const VALID_FOR_MS = 30 * 86_400_000;

/** Makes the signed envelopes that devices act upon. */
@Injectable()
export class InstructionSigner {
  readonly #clock: Clock = systemClock;

  constructor(private readonly keys: KeyStore) {}

  /** `twin/desired`: the whole desired state, with the key set of today. */
  twin({ fleet, device, epoch, version, rollback, desired }: TwinToSend): Uint8Array {
    const payload = {
      format: 'drover.desired/1',
      keys: this.keys.keySet,
      pipelines: desired.pipelines,
      config: desired.config,
    };
    const envelope = { kind: 'twin' as const, fleet, device, epoch, version, ...this.#validity(), payload };
    return this.#sign(rollback ? { ...envelope, rollback } : envelope);
  }

  command({ fleet, device, epoch, version, command }: CommandToSend): Uint8Array {
    return this.#sign({ kind: 'command', fleet, device, epoch, version, ...this.#validity(), payload: command });
  }

  #sign(envelope: Parameters<typeof signEnvelope>[0]): Uint8Array {
    return encodeJson(signEnvelope(envelope, this.keys.signers('twin')));
  }

  #validity(): { issuedAt: string; expiresAt: string } {
    const now = this.#clock.now();
    return { issuedAt: new Date(now).toISOString(), expiresAt: new Date(now + VALID_FOR_MS).toISOString() };
  }
}
