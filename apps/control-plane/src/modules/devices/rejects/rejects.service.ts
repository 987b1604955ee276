import type { PageQuery, ResponseOf, api } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { BatchQueue } from '../../../platform/database/batch-queue.ts';
import { pageOfRows, readCursor } from '../../../platform/http/page.ts';
import { Metrics } from '../../../platform/metrics.ts';
import { RejectsRepository } from './rejects.repository.ts';
import type { NewRejectRow, RejectRow } from './rejects.repository.ts';

export type RejectPage = ResponseOf<typeof api.rejects.list>;

/** A message that its device was authorised to send, but whose content is not valid. */
export interface NewReject {
  readonly fleet: string;
  readonly device: string;
  readonly topic: string;
  /** Stable, kebab case, of a small set: it is a label in the metrics. */
  readonly code: string;
  /** What is wrong, naming the field. */
  readonly message: string;
  /** As it was received. */
  readonly payload: Uint8Array;
}

/** What is kept of a payload: enough to see what it was. */
const KEPT_PAYLOAD_BYTES = 4 * 2 ** 10;
const KEPT_MESSAGE_CHARACTERS = 1_000;

/**
 * Invalid content is set aside, counted and then acknowledged: a refusal would make the device send the same again for ever,
 * with everything else waiting behind it.
 */
@Injectable()
export class RejectsService {
  readonly #batches = new BatchQueue<NewRejectRow>((rows) => this.rejects.addMany(rows));
  readonly #counter;

  constructor(
    private readonly rejects: RejectsRepository,
    metrics: Metrics,
  ) {
    this.#counter = metrics.counter('rejects_total', 'Messages of devices that were set aside as invalid', ['code']);
  }

  /** Resolves once it is committed; then the message may be acknowledged. */
  async add(reject: NewReject): Promise<void> {
    await this.#batches.add(rowOf(reject));
    this.#counter.inc({ code: reject.code });
  }

  /** Resolves once all are committed, by one statement. */
  async addMany(rejects: readonly NewReject[]): Promise<void> {
    if (rejects.length === 0) return;
    await this.rejects.addMany(rejects.map(rowOf));
    for (const { code } of rejects) this.#counter.inc({ code });
  }

  async list(
    fleet: string,
    query: PageQuery & { device?: string | undefined; code?: string | undefined },
  ): Promise<RejectPage> {
    const before = readCursor(query.cursor, ['serial'])?.[0].toString();
    const rows = await this.rejects.list(
      fleet,
      {
        ...(query.device === undefined ? {} : { device: query.device }),
        ...(query.code === undefined ? {} : { code: query.code }),
        ...(before === undefined ? {} : { before }),
      },
      query.limit + 1,
    );
    const { items, nextCursor } = pageOfRows(rows, query.limit, (row) => [row.id]);
    return { items: items.map(toReject), nextCursor };
  }
}

function rowOf(reject: NewReject): NewRejectRow {
  return {
    fleet: reject.fleet,
    device: reject.device,
    topic: reject.topic,
    code: reject.code,
    message: storable(reject.message).slice(0, KEPT_MESSAGE_CHARACTERS),
    payload: Buffer.from(reject.payload.subarray(0, KEPT_PAYLOAD_BYTES)),
    sizeBytes: reject.payload.length,
  };
}

/** PostgreSQL's texts hold neither NUL nor half a surrogate pair; a message that quotes a device may. */
function storable(text: string): string {
  return text.replaceAll('\u0000', '\ufffd').toWellFormed();
}

function toReject(row: RejectRow): RejectPage['items'][number] {
  return {
    id: row.id,
    device: row.deviceId,
    topic: row.topic,
    code: row.code,
    message: row.message,
    receivedAt: row.receivedAt.toISOString(),
    payload: row.payload.toString('base64'),
    sizeBytes: row.sizeBytes,
  };
}
