import type { Delivery, EventType } from '@drover/contracts';
import { InternalError } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import type { z } from 'zod';
import type { Transaction } from '../../../platform/database/database.ts';

/** An event of a device, checked against its schema. */
export interface IngestItem<T extends Delivery = Delivery> {
  readonly fleet: string;
  readonly device: string;
  /** Number of the boot in which the device wrote it (`boots.id`); grows from boot to boot. */
  readonly boot: number;
  readonly message: T;
}

/** An item that its writer will not store, and why. It is set aside; the others of its batch are stored. */
export interface Refusal {
  readonly item: IngestItem;
  /** Stable, kebab case, of a small set. */
  readonly code: string;
  readonly reason: string;
}

/** What a module does with one type of event. */
export interface EventWriter<T extends Delivery> {
  /** Of the whole message. */
  readonly schema: z.ZodType<T>;
  /**
   * Stores items in the order in which they came, of several fleets and devices, in the transaction of their batch. Messages come
   * more than once: storing one again must change nothing. An error by data (SQLSTATE 22, 23) or a `CallerError` makes the
   * batch be tried in halves until the guilty item is alone and set aside; any other makes the devices send again.
   *
   * @returns the items that it refuses
   */
  write(tx: Transaction, items: readonly IngestItem<T>[]): Promise<readonly Refusal[]>;
}

/** Where the modules above meet the ingest: each registers, in `onModuleInit`, what it does with a type of event. */
@Injectable()
export class IngestRegistry {
  readonly #writers = new Map<EventType, EventWriter<Delivery>>();

  register<T extends Delivery>(type: EventType, writer: EventWriter<T>): void {
    if (this.#writers.has(type)) throw new InternalError(`Events of type "${type}" have a writer already.`);
    // Sound: items are parsed by the writer's own schema before they come to it.
    this.#writers.set(type, writer as unknown as EventWriter<Delivery>);
  }

  writerOf(type: EventType): EventWriter<Delivery> | undefined {
    return this.#writers.get(type);
  }
}
