import { DroverError } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { OnApplicationShutdown } from '@nestjs/common';
import type { DeviceMessage } from '../../../platform/broker/device-gateway.ts';
import { databaseReason, sqlStateOf } from './database-faults.ts';
import { GroupCommit } from './group-commit.ts';
import { IngestMetrics } from './ingest-metrics.ts';
import { ListBatch } from './list-batch.ts';

/** A message to set aside, and why. */
export interface NewReject {
  readonly fleet: string;
  readonly device: string;
  readonly topic: string;
  /** Stable, machine-readable. */
  readonly code: string;
  readonly message: string;
  readonly payload: Uint8Array;
}

/** Stores rejects; resolves when they are committed. */
export interface RejectStore {
  addMany(rejects: readonly NewReject[]): Promise<void>;
}
export const REJECT_STORE = Symbol('drover:reject-store');

export function rejectOf(message: DeviceMessage, code: string, reason: string): NewReject {
  const { principal, topic, payload } = message;
  return { fleet: principal.fleet, device: principal.device, topic, code, message: reason, payload };
}

/** As a reject: our own error by its code, a refusal of the database by its SQLSTATE. */
export function rejectOfError(message: DeviceMessage, error: unknown): NewReject {
  if (error instanceof DroverError) return rejectOf(message, error.code, error.message);
  return rejectOf(message, `database-${sqlStateOf(error) ?? 'refused'}`, databaseReason(error));
}

/** Where messages with invalid content are set aside: stored in batches, counted by code. */
@Injectable()
export class RejectDesk implements OnApplicationShutdown {
  readonly #commits: GroupCommit<ListBatch<NewReject>>;

  constructor(
    @Inject(REJECT_STORE) private readonly store: RejectStore,
    private readonly metrics: IngestMetrics,
  ) {
    this.#commits = new GroupCommit<ListBatch<NewReject>>({
      writers: 1,
      maxSize: 500,
      maxBytes: 2 ** 20,
      maxPendingBytes: 2 ** 24,
      patienceMs: 5_000,
      open: () => new ListBatch(),
      commit: (batch) => this.addMany(batch.items),
      split: (batch) => ListBatch.split(batch),
      // A reject that can't be stored is a message that can't be acknowledged.
      refuse: (_, error) => Promise.reject(error),
    });
  }

  /** Resolves when the reject is stored, together with others that come at the same time. */
  add(reject: NewReject): Promise<void> {
    try {
      this.#commits.batch.add(reject, reject.payload.byteLength);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#commits.added();
  }

  /** Resolves when the rejects are stored. */
  async addMany(rejects: readonly NewReject[]): Promise<void> {
    if (rejects.length === 0) return;
    await this.store.addMany(rejects);
    for (const { code } of rejects) this.metrics.rejected.inc({ code });
  }

  onApplicationShutdown(): Promise<void> {
    return this.#commits.stop();
  }
}
