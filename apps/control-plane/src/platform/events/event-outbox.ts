import { Injectable } from '@nestjs/common';
import type { Transaction } from '../database/database.ts';

export interface NewEvent {
  readonly fleet: string;
  /** Past tense, `noun.verb`: `device.enrolled`. */
  readonly type: string;
  /** Id of what it is about. */
  readonly subject: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

/** Writes events in the transaction of the change that they tell of. A trigger wakes the readers when it commits. */
@Injectable()
export class EventOutbox {
  async append(tx: Transaction, ...events: readonly NewEvent[]): Promise<void> {
    if (events.length === 0) return;
    await tx.event.createMany({
      data: events.map((event) => ({
        fleetId: event.fleet,
        type: event.type,
        subject: event.subject,
        data: (event.data ?? {}) as object,
      })),
    });
  }
}
