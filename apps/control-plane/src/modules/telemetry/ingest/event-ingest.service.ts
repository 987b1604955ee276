import type { Delivery, EventType } from '@drover/contracts';
import type { Logger } from '@drover/runtime';
import { messageOf, problemsOf } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { OnApplicationShutdown } from '@nestjs/common';
import type { DeviceMessage } from '../../../platform/broker/device-gateway.ts';
import { Database } from '../../../platform/database/database.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { RejectsService } from '../../devices/rejects/rejects.service.ts';
import { GroupCommit } from './group-commit.ts';
import { IngestIds } from './ingest-ids.service.ts';
import { IngestMetrics } from './ingest-metrics.ts';
import { IngestRegistry } from './ingest-registry.ts';
import type { IngestItem, Refusal } from './ingest-registry.ts';
import { InvalidMessageError } from './invalid-message.ts';
import { ListBatch } from './list-batch.ts';
import { decodeMessage } from './measurement-message.ts';
import { rejectOf, rejectOfError } from './reject-reasons.ts';

interface PendingEvent {
  readonly type: EventType;
  readonly item: IngestItem;
  readonly source: DeviceMessage;
}

/** Events of devices: parsed by their type's schema and given to its writer, a batch of all types in one transaction. */
@Injectable()
export class EventIngest implements OnApplicationShutdown {
  readonly #commits: GroupCommit<ListBatch<PendingEvent>>;

  constructor(
    private readonly registry: IngestRegistry,
    private readonly ids: IngestIds,
    private readonly database: Database,
    private readonly rejects: RejectsService,
    private readonly metrics: IngestMetrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.#commits = new GroupCommit<ListBatch<PendingEvent>>({
      // One: what a device says later of the same thing must not overtake what it said before.
      writers: 1,
      maxSize: 500,
      maxBytes: 2 ** 20,
      maxPendingBytes: 32 * 2 ** 20,
      patienceMs: 5_000,
      open: () => new ListBatch(),
      commit: (batch) => this.#commit(batch.items),
      split: (batch) => ListBatch.split(batch),
      refuse: (batch, error) => this.rejects.addMany([rejectOfError(batch.items[0]!.source, error)]),
      onFailure: (error) => this.#failed(error),
    });
  }

  /** Resolves when what the event says is committed, or the event is set aside. */
  async handle(source: DeviceMessage): Promise<void> {
    const { fleet, device } = source.principal;
    const type = source.parsed.kind === 'event' ? source.parsed.type : undefined;
    const writer = type && this.registry.writerOf(type);
    if (!type || !writer)
      return this.rejects.add(rejectOf(source, 'unknown-event', 'Nothing here stores events of this type.'));
    let message: Delivery;
    try {
      const parsed = writer.schema.safeParse(decodeMessage(source.payload));
      if (!parsed.success) throw InvalidMessageError.of(problemsOf(parsed.error));
      message = parsed.data;
    } catch (error) {
      if (error instanceof InvalidMessageError) return this.rejects.add(rejectOfError(source, error));
      throw error;
    }
    const boot = this.ids.knownBoot(device, message.bootId) ?? (await this.ids.findBoot(fleet, device, message.bootId));
    if (boot === undefined) return this.rejects.add(rejectOf(source, 'unknown-device', 'The device is not known.'));
    const item = { fleet, device, boot, message };
    this.#commits.batch.add({ type, item, source }, source.payload.byteLength);
    return this.#commits.added();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#commits.stop();
  }

  async #commit(events: readonly PendingEvent[]): Promise<void> {
    const startedAt = performance.now();
    const types = Map.groupBy(events, (event) => event.type);
    const refusals = await this.database.transaction(async (tx) => {
      const refused: Refusal[] = [];
      for (const [type, ofType] of types) {
        const items = ofType.map((event) => event.item);
        refused.push(...(await this.registry.writerOf(type)!.write(tx, items)));
      }
      return refused;
    });
    // After the commit: were this lost, the device would send again and be refused again.
    const sources = new Map(events.map((event) => [event.item, event.source]));
    await this.rejects.addMany(refusals.map(({ item, code, reason }) => rejectOf(sources.get(item)!, code, reason)));
    this.metrics.committed('event', events.length - refusals.length, (performance.now() - startedAt) / 1_000);
  }

  #failed(error: unknown): void {
    this.metrics.failures.inc({ kind: 'event' });
    this.ids.forget();
    this.logger.warn({ err: messageOf(error) }, 'Events cannot be written at the moment');
  }
}
