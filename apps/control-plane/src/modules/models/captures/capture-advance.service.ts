import type { Dataset } from '@drover/contracts';
import { DroverError, messageOf, newId, sleep } from '@drover/runtime';
import type { Logger } from '@drover/runtime';
import { Inject, Injectable } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { Database } from '../../../platform/database/database.ts';
import type { Transaction } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { Metrics } from '../../../platform/metrics.ts';
import { LOGGER } from '../../../platform/platform.module.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import type { StoredArtifact } from '../../../platform/storage/artifact-store.ts';
import { DeviceOutboxRepository } from '../../devices/device-outbox.repository.ts';
import { MeasurementReader } from '../../telemetry/query/measurement-reader.service.ts';
import { ArtifactRepository } from '../artifacts/artifact.repository.ts';
import { DatasetService } from '../datasets/dataset.service.ts';
import { csvOf, timeColumnFor } from './capture-csv.ts';
import { judgeCapture, reasonWithoutSamples, sentRowsOf } from './capture-plan.ts';
import type { CaptureDeviceStatus } from './capture-plan.ts';
import { CaptureRepository } from './capture.repository.ts';
import type { CaptureRow } from './capture.repository.ts';

const CSV_MEDIA_TYPE = 'text/csv';
const SETTLE_STEP_MS = 250;
/** Between two counts, so many times as long as one takes. */
const COUNT_PAUSES = 20;

/**
 * Brings a capture on, from its rows and what has arrived: takes answers, counts samples, and makes a dataset of them in the end.
 *
 * INVARIANT: a capture is ended in the transaction that makes its dataset, by the first that does it. Looking at it again, from another
 * worker or after a restart, starts from the rows.
 */
@Injectable()
export class CaptureAdvance {
  readonly #outcomes;
  /** By capture; monotonic milliseconds. */
  readonly #nextCounts = new Map<string, number>();

  constructor(
    private readonly config: Config,
    private readonly database: Database,
    private readonly captures: CaptureRepository,
    private readonly datasets: DatasetService,
    private readonly artifacts: ArtifactRepository,
    private readonly store: ArtifactStore,
    private readonly measurements: MeasurementReader,
    private readonly outbox: DeviceOutboxRepository,
    private readonly events: EventOutbox,
    metrics: Metrics,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.#outcomes = metrics.counter('captures_total', 'Captures that ended here, by how', ['outcome']);
  }

  async advance(fleet: string, id: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      const capture = await this.#look(fleet, id);
      if (!capture || capture.status !== 'RUNNING') this.#nextCounts.delete(id);
      if (!capture || capture.status !== 'RUNNING' || signal.aborted) return;
      const verdict = judgeCapture(stateOf(capture), Date.now());
      if (verdict === 'waiting') return;
      if (verdict === 'complete') return this.#end(capture);
      await sleep(SETTLE_STEP_MS, signal).catch(() => undefined);
    }
  }

  /** The capture after what was answered and counted by now. */
  async #look(fleet: string, id: string): Promise<CaptureRow | null> {
    const capture = await this.captures.find(fleet, id);
    if (!capture || capture.status !== 'RUNNING') return capture;
    for (const { device, status, message } of await this.captures.answers(fleet, id)) {
      const answer = status === 'SUCCEEDED' ? ('SUCCEEDED' as const) : ('FAILED' as const);
      await this.captures.answered(fleet, id, device, { status: answer, message, sentRows: sentRowsOf(message) });
    }
    const answered = await this.captures.find(fleet, id);
    if (!answered || !this.#isCountDue(answered)) return answered;
    const startedAt = performance.now();
    const devices = capture.devices.map(({ deviceId }) => deviceId);
    for (const [device, rows] of await this.measurements.counts(fleet, devices, id))
      await this.captures.counted(fleet, id, device, rows);
    this.#nextCounts.set(id, performance.now() + COUNT_PAUSES * (performance.now() - startedAt));
    return this.captures.find(fleet, id);
  }

  /** At the end always; before, millions of samples are not counted every few seconds only to show how many there are. */
  #isCountDue(capture: CaptureRow): boolean {
    const judged = judgeCapture(stateOf(capture), Date.now());
    return judged !== 'waiting' || performance.now() >= (this.#nextCounts.get(capture.id) ?? 0);
  }

  async #end(capture: CaptureRow): Promise<void> {
    const { fleetId: fleet, id } = capture;
    this.#nextCounts.delete(id);
    const sources = capture.devices.filter(({ rows }) => rows > 0).map(({ deviceId }) => deviceId);
    if (sources.length === 0) return this.#fail(capture, reasonWithoutSamples(answersOf(capture)));
    try {
      const { files, options } = await this.#write(fleet, id, sources);
      await this.#complete(capture, files, options);
    } catch (error) {
      if (!(error instanceof DroverError) || error.fault !== 'caller') throw error;
      await this.#fail(capture, messageOf(error));
    }
  }

  /** One file per device. */
  async #write(
    fleet: string,
    stream: string,
    devices: readonly string[],
  ): Promise<{ files: WrittenFile[]; options: Dataset['options'] }> {
    const channels = await Promise.all(devices.map((device) => this.measurements.channels(fleet, device, stream)));
    const timeColumn = timeColumnFor(channels.flat());
    const files: WrittenFile[] = [];
    for (const [i, device] of devices.entries()) {
      const samples = this.measurements.read(fleet, { device, stream, channels: channels[i]! });
      const limit = this.config.http.DROVER_MAX_ARTIFACT;
      const stored = await this.store.put(csvOf(timeColumn, channels[i]!, samples), limit);
      files.push({ name: `${device}.csv`, stored });
    }
    // Channels are not named: one that is called `anomaly` is a label here as in any other file.
    return { files, options: { timestamp: timeColumn } };
  }

  async #complete(capture: CaptureRow, files: readonly WrittenFile[], options: Dataset['options']): Promise<void> {
    const { fleetId: fleet, id, name } = capture;
    const dataset = newId('dat');
    const ended = await this.database.transaction(async (tx) => {
      if (!(await this.captures.end(tx, fleet, id, 'COMPLETED', dataset))) return false;
      for (const { stored } of files) await this.artifacts.record(tx, fleet, stored, CSV_MEDIA_TYPE);
      const named = files.map((file) => ({ name: file.name, artifact: file.stored.digest }));
      await this.datasets.add(tx, fleet, { id: dataset, name, files: named, options, capture: id });
      const rows = capture.devices.reduce((sum, device) => sum + device.rows, 0);
      await this.#tellEnd(tx, capture, 'capture.completed', { dataset, rows });
      return true;
    });
    if (!ended) return;
    this.#outcomes.inc({ outcome: 'completed' });
    // Only a shortcut: where it fails, the reconciler makes the job of the row.
    await this.datasets.enqueue(fleet, dataset).catch(() => undefined);
  }

  async #fail(capture: CaptureRow, message: string): Promise<void> {
    const { fleetId: fleet, id } = capture;
    this.logger.warn({ fleet, capture: id, err: message }, 'A capture has failed');
    const ended = await this.database.transaction(async (tx) => {
      if (!(await this.captures.end(tx, fleet, id, 'FAILED'))) return false;
      await this.#tellEnd(tx, capture, 'capture.failed', { message });
      return true;
    });
    if (ended) this.#outcomes.inc({ outcome: 'failed' });
  }

  async #tellEnd(tx: Transaction, { fleetId: fleet, id }: CaptureRow, type: string, data: object): Promise<void> {
    // Who has not answered by now need not begin any more.
    await this.outbox.withdraw(tx, fleet, id);
    await this.events.append(tx, { fleet, type, subject: id, data: { ...data } });
  }
}

interface WrittenFile {
  readonly name: string;
  readonly stored: StoredArtifact;
}

function stateOf(capture: CaptureRow) {
  return {
    deadlineAtMs: capture.deadlineAt.getTime(),
    devices: capture.devices.map(({ deviceId, status, rows, rowsAt, sentRows }) => ({
      device: deviceId,
      status: status as CaptureDeviceStatus,
      rows,
      rowsAtMs: rowsAt.getTime(),
      sentRows,
    })),
  };
}

/** As they stand at the end: who has not answered has timed out. */
function answersOf(capture: CaptureRow) {
  return capture.devices.map(({ deviceId, status, message }) => ({
    device: deviceId,
    status: (status === 'PENDING' ? 'TIMED_OUT' : status) as CaptureDeviceStatus,
    message,
  }));
}
