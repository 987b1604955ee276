import type { BatchMessage, SampleMessage } from '@drover/contracts';
import type { Logger } from '@drover/runtime';
import { messageOf } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import type { OnApplicationShutdown } from '@nestjs/common';
import type { DeviceMessage } from '../../../platform/broker/device-gateway.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { RejectsService } from '../../devices/rejects/rejects.service.ts';
import { databaseFaultOf } from '../../../platform/database/database-faults.ts';
import { GroupCommit } from './group-commit.ts';
import { IngestIds } from './ingest-ids.service.ts';
import { IngestMetrics } from './ingest-metrics.ts';
import { InvalidMessageError } from './invalid-message.ts';
import type { Reading } from './measurement-form.ts';
import { MeasurementForms } from './measurement-forms.ts';
import { isBatch, parseMeasurement } from './measurement-message.ts';
import { rejectOf, rejectOfError } from './reject-reasons.ts';
import { SampleBatch } from './sample-batch.ts';
import type { SampleKeys } from './sample-batch.ts';
import { SampleRepository } from './sample.repository.ts';

/**
 * Measurements, from the message to the commit. The way of a message whose boot and stream are known has no `await`: it is read,
 * written into the batch's bytes, and answered by the batch's promise.
 */
@Injectable()
export class MeasurementIngest implements OnApplicationShutdown {
  readonly #commits: GroupCommit<SampleBatch>;
  #forms = new MeasurementForms();
  #generation = 0;

  constructor(
    private readonly ids: IngestIds,
    private readonly samples: SampleRepository,
    private readonly rejects: RejectsService,
    private readonly metrics: IngestMetrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.#commits = new GroupCommit<SampleBatch>({
      writers: 2,
      maxSize: 2_000,
      maxBytes: 2 ** 20,
      maxPendingBytes: 64 * 2 ** 20,
      patienceMs: 5_000,
      open: () => new SampleBatch(),
      commit: (batch) => this.#commit(batch),
      split: (batch) => batch.split(),
      refuse: (batch, error) => this.rejects.addMany([rejectOfError(batch.messages[0]!.message, error)]),
      onFailure: (error) => this.#failed(error),
    });
  }

  /** Resolves when the message's samples are committed, or set aside. */
  handle(message: DeviceMessage): Promise<void> {
    if (this.#generation !== this.ids.generation) {
      this.#generation = this.ids.generation;
      this.#forms = new MeasurementForms();
    }
    const form = this.#forms.find(message.topic);
    const reading = form?.read(message.payload);
    if (reading) return this.#add(message, form!.keys, reading);
    let content: SampleMessage | BatchMessage;
    try {
      content = parseMeasurement(message.payload);
    } catch (error) {
      if (error instanceof InvalidMessageError) return this.rejects.add(rejectOfError(message, error));
      return Promise.reject(error);
    }
    const { device } = message.principal;
    const boot = this.ids.knownBoot(device, content.bootId);
    const stream = this.ids.knownStream(device, streamOf(message), content.channels);
    if (boot === undefined || stream === undefined) return this.#handleUnknown(message, content);
    const keys = { stream, boot };
    if (!isBatch(content)) this.#forms.learn(message.topic, message.payload, content, keys);
    return this.#add(message, keys, content);
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#commits.stop();
  }

  #add(message: DeviceMessage, keys: SampleKeys, content: Reading | BatchMessage): Promise<void> {
    try {
      this.#commits.batch.add(message, keys, content);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#commits.added();
  }

  /** The first message of a boot or a stream. */
  async #handleUnknown(message: DeviceMessage, content: SampleMessage | BatchMessage): Promise<void> {
    const { fleet, device } = message.principal;
    let boot, stream;
    try {
      [boot, stream] = await Promise.all([
        this.ids.findBoot(fleet, device, content.bootId),
        this.ids.findStream(fleet, device, streamOf(message), content.channels),
      ]);
    } catch (error) {
      // A channel's name that the database can't hold, for instance.
      if (databaseFaultOf(error) === 'data') return this.rejects.add(rejectOfError(message, error));
      throw error;
    }
    if (boot === undefined) return this.rejects.add(rejectOf(message, 'unknown-device', 'The device is not known.'));
    if (stream === undefined) {
      return this.rejects.add(
        rejectOf(message, 'too-many-streams', 'The device has too many streams or sets of channels.'),
      );
    }
    return this.#add(message, { stream, boot }, content);
  }

  async #commit(batch: SampleBatch): Promise<void> {
    const startedAt = performance.now();
    const inserted = await this.samples.insert(batch);
    this.metrics.committed('measurement', batch.size, (performance.now() - startedAt) / 1_000);
    this.metrics.samples.inc(inserted);
    this.metrics.duplicates.inc(batch.rows - inserted);
    this.metrics.pendingBytes.set({ kind: 'measurement' }, this.#commits.pendingBytes);
  }

  #failed(error: unknown): void {
    this.metrics.failures.inc({ kind: 'measurement' });
    this.ids.forget();
    this.logger.warn({ err: messageOf(error) }, 'Measurements cannot be written at the moment');
  }
}

function streamOf(message: DeviceMessage): string {
  return message.parsed.kind === 'measurement' ? message.parsed.stream : '';
}
