import type { Command } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import type { Transaction } from '../../platform/database/database.ts';

/** Why a device is cut off, and what to wait for first. */
export interface Disconnect {
  readonly reason: string;
  /** Wait until the device has reported the status of this command, at most `graceMs` from the row's creation. */
  readonly afterCommand?: string;
  readonly graceMs?: number;
}

/** Tells the gateway that holds a device's connection what to do; in the transaction of what makes it necessary. */
@Injectable()
export class DeviceOutboxRepository {
  async command(tx: Transaction, fleet: string, device: string, command: Command): Promise<void> {
    await this.#append(tx, fleet, device, 'command', command);
  }

  /** Takes a command back from every device that has not answered it; one that it was sent to may have begun. */
  async withdraw(tx: Transaction, fleet: string, command: string): Promise<void> {
    await tx.deviceOutbox.deleteMany({
      where: { fleetId: fleet, kind: 'command', payload: { path: ['id'], equals: command } },
    });
  }

  async disconnect(tx: Transaction, fleet: string, device: string, disconnect: Disconnect): Promise<void> {
    await this.#append(tx, fleet, device, 'disconnect', disconnect);
  }

  async #append(tx: Transaction, fleet: string, device: string, kind: string, payload: object): Promise<void> {
    await tx.deviceOutbox.create({ data: { fleetId: fleet, deviceId: device, kind, payload }, select: { id: true } });
  }
}
