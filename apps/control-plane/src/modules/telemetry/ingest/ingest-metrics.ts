import { Injectable } from '@nestjs/common';
import { Metrics } from '../../../platform/metrics.ts';

export type IngestKind = 'measurement' | 'event' | 'reported';

/** What comes in from devices, counted per batch. */
@Injectable()
export class IngestMetrics {
  readonly messages;
  readonly samples;
  readonly duplicates;
  readonly failures;
  readonly batchSize;
  readonly commitSeconds;
  readonly pendingBytes;

  constructor(metrics: Metrics) {
    this.messages = metrics.counter('ingest_messages_total', 'Messages of devices that were committed', ['kind']);
    this.samples = metrics.counter('ingest_samples_total', 'Samples that were stored');
    this.duplicates = metrics.counter('ingest_duplicates_total', 'Samples that were sent again and already stored');
    this.failures = metrics.counter('ingest_failures_total', 'Batches that could not be written and were tried again', [
      'kind',
    ]);
    this.batchSize = metrics.histogram(
      'ingest_batch_messages',
      'Messages per committed batch',
      [1, 4, 16, 64, 256, 1_024, 4_096],
      ['kind'],
    );
    this.commitSeconds = metrics.histogram(
      'ingest_commit_seconds',
      'Time to commit a batch',
      [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2],
      ['kind'],
    );
    this.pendingBytes = metrics.gauge('ingest_pending_bytes', 'Memory held by messages that wait for their commit', [
      'kind',
    ]);
  }

  committed(kind: IngestKind, messages: number, seconds: number): void {
    this.messages.inc({ kind }, messages);
    this.batchSize.observe({ kind }, messages);
    this.commitSeconds.observe({ kind }, seconds);
  }
}
