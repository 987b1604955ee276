import { isDeepStrictEqual } from 'node:util';
import { MAX_TWIN_BYTES, reportedMessageSchema } from '@drover/contracts';
import type { Logger } from '@drover/runtime';
import { CallerError, messageOf, problemsOf } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { OnApplicationShutdown } from '@nestjs/common';
import type { DeviceMessage } from '../../../platform/broker/device-gateway.ts';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import type { NewEvent } from '../../../platform/events/event-outbox.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { DeviceLifecycle } from '../../devices/device-lifecycle.service.ts';
import { RejectsService } from '../../devices/rejects/rejects.service.ts';
import { GroupCommit } from './group-commit.ts';
import { IngestIds } from './ingest-ids.service.ts';
import { IngestMetrics } from './ingest-metrics.ts';
import { InvalidMessageError } from './invalid-message.ts';
import { ListBatch } from './list-batch.ts';
import { decodeMessage } from './measurement-message.ts';
import { rejectOf, rejectOfError } from './reject-reasons.ts';
import { isNewer, newsOf } from './report-news.ts';
import { ReportedTwinRepository } from './reported-twin.repository.ts';
import type { KnownTwin, NewReport } from './reported-twin.repository.ts';

interface PendingReport {
  readonly report: NewReport;
  readonly source: DeviceMessage;
}

/** What devices report of themselves: of each only the newest report counts, however they come in. */
@Injectable()
export class ReportedIngest implements OnApplicationShutdown {
  readonly #commits: GroupCommit<ListBatch<PendingReport>>;

  constructor(
    private readonly ids: IngestIds,
    private readonly database: Database,
    private readonly twins: ReportedTwinRepository,
    private readonly devices: DeviceLifecycle,
    private readonly events: EventOutbox,
    private readonly rejects: RejectsService,
    private readonly metrics: IngestMetrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.#commits = new GroupCommit<ListBatch<PendingReport>>({
      writers: 1,
      maxSize: 200,
      maxBytes: 2 ** 21,
      maxPendingBytes: 32 * 2 ** 20,
      patienceMs: 5_000,
      open: () => new ListBatch(),
      commit: (batch) => this.#commit(batch.items),
      split: (batch) => ListBatch.split(batch),
      refuse: (batch, error) => this.rejects.addMany([rejectOfError(batch.items[0]!.source, error)]),
      onFailure: (error) => this.#failed(error),
    });
  }

  /** Resolves when the report, or a newer one, is committed, or the message is set aside. */
  async handle(source: DeviceMessage): Promise<void> {
    const { fleet, device } = source.principal;
    let parsed;
    try {
      if (source.payload.byteLength > MAX_TWIN_BYTES)
        throw new InvalidMessageError(`larger than ${MAX_TWIN_BYTES} bytes`);
      parsed = reportedMessageSchema.safeParse(decodeMessage(source.payload));
      if (!parsed.success) throw InvalidMessageError.of(problemsOf(parsed.error));
    } catch (error) {
      if (error instanceof InvalidMessageError) return this.rejects.add(rejectOfError(source, error));
      throw error;
    }
    const { bootId, seq, reported } = parsed.data;
    const boot = this.ids.knownBoot(device, bootId) ?? (await this.ids.findBoot(fleet, device, bootId));
    if (boot === undefined) return this.rejects.add(rejectOf(source, 'unknown-device', 'The device is not known.'));
    this.#commits.batch.add({ report: { fleet, device, boot, seq, reported }, source }, source.payload.byteLength);
    return this.#commits.added();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#commits.stop();
  }

  async #commit(pending: readonly PendingReport[]): Promise<void> {
    const startedAt = performance.now();
    const newest = new Map<string, NewReport>();
    for (const { report } of pending) {
      const other = newest.get(report.device);
      const later = !other || report.boot > other.boot || (report.boot === other.boot && report.seq > other.seq);
      if (later) newest.set(report.device, report);
    }
    const byFleet = Map.groupBy(newest.values(), (report) => report.fleet);
    await this.database.transaction(async (tx) => {
      for (const [fleet, reports] of byFleet) await this.#store(tx, fleet, reports);
    });
    this.metrics.committed('reported', pending.length, (performance.now() - startedAt) / 1_000);
  }

  async #store(tx: Transaction, fleet: string, reports: readonly NewReport[]): Promise<void> {
    const devices = reports.map((report) => report.device);
    // Before the twins are locked: everybody else locks a device's registry entry before its twin.
    await this.#takeProfiles(tx, fleet, reports, await this.twins.find(tx, fleet, devices));
    const known = await this.twins.lock(tx, fleet, devices);
    const taken = reports.filter((report) => isNewer(report, known.get(report.device)));
    if (taken.length === 0) return;
    await this.twins.store(tx, fleet, taken);
    await this.events.append(tx, ...taken.flatMap((report) => eventOf(report, known.get(report.device)!)));
  }

  async #takeProfiles(
    tx: Transaction,
    fleet: string,
    reports: readonly NewReport[],
    known: ReadonlyMap<string, KnownTwin>,
  ): Promise<void> {
    const changed = reports.filter((report) => {
      const twin = known.get(report.device);
      return isNewer(report, twin) && !isDeepStrictEqual(twin?.reported?.profile, report.reported.profile);
    });
    for (const { device, reported } of changed.toSorted((a, b) => (a.device < b.device ? -1 : 1))) {
      try {
        await this.devices.profileChanged(tx, fleet, device, reported.profile);
      } catch (error) {
        // Decommissioned while its last words were on their way: they are taken, its entry in the registry stays as it is.
        if (!(error instanceof CallerError)) throw error;
      }
    }
  }

  #failed(error: unknown): void {
    this.metrics.failures.inc({ kind: 'reported' });
    this.ids.forget();
    this.logger.warn({ err: messageOf(error) }, 'Reported states cannot be written at the moment');
  }
}

function eventOf({ fleet, device, reported }: NewReport, known: KnownTwin): NewEvent[] {
  const data = newsOf(known, reported);
  return data === null ? [] : [{ fleet, type: 'twin.reported', subject: device, data }];
}
