import { ID_PATTERN, anomalyMessageSchema } from '@drover/contracts';
import type { AnomalyMessage, AnomalyQuery, AnomalyResource } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import type { OnModuleInit } from '@nestjs/common';
import type { Transaction } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { NotFoundError } from '../../platform/http/errors.ts';
import { DeviceRegistry } from '../devices/device-registry.service.ts';
import { IngestRegistry } from '../telemetry/ingest/ingest-registry.ts';
import type { IngestItem } from '../telemetry/ingest/ingest-registry.ts';
import { newsOf } from './anomaly-news.ts';
import { AnomalyRepository } from './anomaly.repository.ts';
import type { NewAnomaly } from './anomaly.repository.ts';

export interface AnomalyPage {
  readonly items: AnomalyResource[];
  readonly nextCursor: string | null;
}

/** Anomalies that devices have found: opened at onset, then revised and closed by the device. */
@Injectable()
export class AnomalyService implements OnModuleInit {
  constructor(
    private readonly registry: IngestRegistry,
    private readonly anomalies: AnomalyRepository,
    private readonly devices: DeviceRegistry,
    private readonly events: EventOutbox,
  ) {}

  onModuleInit(): void {
    this.registry.register('anomaly', {
      schema: anomalyMessageSchema,
      write: async (tx, items) => {
        await this.store(tx, items);
        return [];
      },
    });
  }

  /** Stores revisions in the transaction of their batch, with the events that tell of them. */
  async store(tx: Transaction, items: readonly IngestItem<AnomalyMessage>[]): Promise<void> {
    const newest = newestRevisions(items);
    const stored = await this.anomalies.upsert(tx, [...newest.values()]);
    const news = stored.flatMap(({ fleet, device, id, known }) => {
      const { anomaly } = newest.get(keyOf(fleet, device, id))!;
      const { pipeline, state, startedAt, endedAt, peakScore, threshold, release, variant } = anomaly;
      const data = { device, pipeline, state, startedAt, endedAt, peakScore, threshold, release, variant };
      return newsOf(known, anomaly).map((type) => ({ fleet, type, subject: id, data }));
    });
    await this.events.append(tx, ...news);
  }

  list(fleet: string, query: AnomalyQuery): Promise<AnomalyPage> {
    return this.anomalies.page(fleet, query);
  }

  /** @throws NotFoundError */
  async listOfDevice(fleet: string, device: string, query: Omit<AnomalyQuery, 'device'>): Promise<AnomalyPage> {
    await this.devices.get(fleet, device);
    return this.anomalies.page(fleet, { ...query, device });
  }

  /** @throws NotFoundError */
  async get(fleet: string, device: string, id: string): Promise<AnomalyResource> {
    const valid = ID_PATTERN.test(device) && ID_PATTERN.test(id);
    const anomaly = valid ? await this.anomalies.find(fleet, device, id) : null;
    if (!anomaly) throw NotFoundError.of('anomaly', id);
    return anomaly;
  }
}

/** One statement stores one revision of each anomaly: the highest that came in the batch. */
function newestRevisions(items: readonly IngestItem<AnomalyMessage>[]): Map<string, NewAnomaly> {
  const newest = new Map<string, NewAnomaly>();
  for (const { fleet, device, message } of items) {
    const { anomaly } = message;
    const key = keyOf(fleet, device, anomaly.id);
    if (anomaly.revision > (newest.get(key)?.anomaly.revision ?? 0)) newest.set(key, { fleet, device, anomaly });
  }
  return newest;
}

function keyOf(fleet: string, device: string, id: string): string {
  return `${fleet} ${device} ${id}`;
}
