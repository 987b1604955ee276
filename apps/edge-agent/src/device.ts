import { randomUUID } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { deviceTopics } from '@drover/contracts';
import type { Command, HardwareProfile, ReportedState } from '@drover/contracts';
import { ArtifactFetcher, DeviceConnection, OutboxSender, SqliteOutbox, TwinClient } from '@drover/device-protocol';
import type { DeviceIdentity } from '@drover/device-protocol';
import type { InferenceHostOptions } from '@drover/inference';
import { messageOf, sleep } from '@drover/runtime';
import type { Clock, Logger } from '@drover/runtime';
import { UntrustedError } from '@drover/trust';
import type { AgentConfig } from './config/agent-config.schema.ts';
import type { DataFolder } from './data-folder.ts';
import type { EnrolmentService } from './identity/enrolment.service.ts';
import type { WorkingProviders } from './identity/hardware-probe.ts';
import { hottestZoneC } from './health/temperature.ts';
import { PipelineService } from './pipelines/pipeline.service.ts';
import { PipelineStateStore } from './pipelines/pipeline-state.store.ts';
import type { OpenSensor } from './sensors/open-sensors.ts';
import { SensorRunner } from './sensors/sensor-runner.ts';
import { CaptureService } from './telemetry/capture.service.ts';
import { CaptureStore } from './telemetry/capture.store.ts';
import { EventReporter } from './telemetry/event-reporter.ts';
import { MeasurementStream } from './telemetry/measurement-stream.ts';
import { DesiredStore } from './twin/desired.store.ts';
import { ReportedStateService } from './twin/reported-state.service.ts';
import { TwinService } from './twin/twin.service.ts';
import { ArtifactShelf } from './updates/artifact-shelf.ts';
import { UpdateJournal } from './updates/update-journal.ts';
import { UpdateService } from './updates/update.service.ts';
import { AGENT_VERSION } from './version.ts';

export interface DeviceParts {
  readonly config: AgentConfig;
  readonly folder: DataFolder;
  readonly identity: DeviceIdentity;
  readonly enrolment: EnrolmentService;
  readonly sensors: readonly OpenSensor[];
  readonly inference: Omit<InferenceHostOptions, 'listener'>;
  readonly profile: (working: WorkingProviders) => Promise<HardwareProfile>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What obeys commands. */
interface CommandParts {
  readonly reporter: EventReporter;
  readonly connection: DeviceConnection;
  readonly captures: CaptureService;
}

const DEFAULT_MEASUREMENT_INTERVAL_MS = 1_000;
/** Nobody watches a capture live: its rows wait for a larger batch. */
const CAPTURE_FLUSH_MS = 1_000;
/** What an orderly end gives to what is on its way. The rest is stored and goes with the next start. */
const DRAIN_MS = 1_000;
/** A decommissioned device has no next start, so its last word gets longer. */
const LAST_WORD_MS = 5_000;

/**
 * An enrolled device at work: puts the parts together and takes them apart in the opposite order. Detection starts before
 * the connection and ends before it.
 */
export class Device {
  readonly #parts: DeviceParts;
  readonly #ending = new AbortController();
  #erase = false;
  #identity: DeviceIdentity;

  constructor(parts: DeviceParts) {
    this.#parts = parts;
    this.#identity = parts.identity;
  }

  /** @returns when the signal aborts (`stopped`), or the server has told the device to erase itself (`erase`) */
  async run(signal: AbortSignal): Promise<'stopped' | 'erase'> {
    const until = AbortSignal.any([signal, this.#ending.signal]);
    await using ends = new AsyncDisposableStack();
    await this.#start(ends, until);
    await new Promise<void>((resolve) => {
      if (until.aborted) resolve();
      else until.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#parts.logger.info({}, this.#erase ? 'erasing' : 'stopping');
    return this.#erase ? 'erase' : 'stopped';
  }

  async #start(ends: AsyncDisposableStack, until: AbortSignal): Promise<void> {
    const { config, folder, sensors, clock, logger, inference } = this.#parts;
    const bootId = randomUUID();
    const topics = deviceTopics(this.#identity.fleet, this.#identity.device);

    const outbox = this.#openOutbox(bootId);
    ends.defer(() => outbox.stop());
    const reporter = new EventReporter(outbox, topics, clock);
    const desired = new DesiredStore(folder.twin, logger);
    await desired.open();
    const client = this.#twinClient(desired);
    const connection = this.#connection(bootId, client);
    const sender = new OutboxSender({ outbox, connection, clock, logger });
    ends.defer(async () => {
      await drained(outbox, connection, this.#erase ? LAST_WORD_MS : DRAIN_MS);
      sender.stop();
      await connection.stop();
    });

    const pipelines = new PipelineService({
      sources: Object.entries(config.pipelines).map(([name, pipeline]) => {
        const { channels, rateHz } = sensors.find((sensor) => sensor.name === pipeline.sensor)!;
        return { name, channels, rateHz };
      }),
      host: inference,
      threads: config.inference.threads,
      states: new PipelineStateStore(folder.state, logger),
      reporter,
      logger,
      onTrouble: (pipeline) => updates.onTrouble(pipeline),
    });
    ends.defer(() => pipelines.stop());
    const profile = (): Promise<HardwareProfile> => this.#parts.profile((names) => pipelines.workingProviders(names));

    const fetcher = new ArtifactFetcher({
      folder: folder.artifacts,
      connection,
      reserveBytes: config.models.reserveBytes,
      logger,
    });
    const journal = new UpdateJournal(folder.journal, logger);
    await journal.open();
    const updates = new UpdateService({
      journal,
      shelf: new ArtifactShelf(folder.artifacts),
      engine: pipelines,
      fetch: async ({ digest, sizeBytes }, onProgress, signal) => {
        await fetcher.fetch({ digest, sizeBytes, onProgress, signal });
      },
      reporter,
      fleet: this.#identity.fleet,
      memoryBytes: async () => (await profile()).memoryBytes,
      roomBytes: async () => {
        const { bavail, bsize } = await statfs(folder.artifacts);
        return bavail * bsize - config.models.reserveBytes;
      },
      temperatureC: () => hottestZoneC(),
      keySet: () => client.keySet,
      pipelines: Object.keys(config.pipelines),
      clock,
      logger,
      onChanged: () => reported.changed(),
    });
    const reported = new ReportedStateService({
      reporter,
      logger,
      build: async () => ({
        format: 'drover.reported/1',
        desired: client.seen === null ? { epoch: 0, version: 0 } : { ...client.seen },
        keysVersion: client.keySet.version,
        profile: await profile(),
        pipelines: await reportedPipelines(Object.keys(config.pipelines), updates, pipelines),
        store: outbox.status(),
      }),
    });

    await pipelines.start();
    await updates.start();
    ends.defer(() => updates.stop());

    const streams = sensors.map(
      ({ name, channels }) =>
        new MeasurementStream(outbox, topics.measurements(name), channels, DEFAULT_MEASUREMENT_INTERVAL_MS),
    );
    ends.defer(() => streams.forEach((stream) => stream.stop()));
    const captures = new CaptureService({
      store: new CaptureStore(folder.captures, logger),
      pipelines: Object.keys(config.pipelines),
      openStream: (id, pipeline) => {
        const { channels } = sensors.find(({ name }) => name === config.pipelines[pipeline]!.sensor)!;
        return new MeasurementStream(outbox, topics.measurements(id), channels, 0, CAPTURE_FLUSH_MS);
      },
      answer: (command, status, message) => reporter.commandStatus(command, status, message),
      clock,
      logger,
    });
    await captures.start();
    ends.defer(() => captures.stop());
    const runners = sensors.map(({ name, sensor }, i) => {
      const fed = Object.keys(config.pipelines).filter((pipeline) => config.pipelines[pipeline]!.sensor === name);
      return new SensorRunner({
        name,
        sensor,
        onSample: (sample) => {
          // Detection first: it must not wait for a store that has to be written now and then.
          for (const pipeline of fed) pipelines.push(pipeline, sample);
          streams[i]!.add(sample);
          for (const pipeline of fed) captures.add(pipeline, sample);
        },
        onNews: (level, code, message) => reporter.log(level, code, message),
        logger,
      });
    });
    ends.defer(async () => void (await Promise.all(runners.map((runner) => runner.stop()))));
    for (const runner of runners) runner.start();
    for (const name of Object.keys(config.pipelines)) {
      if (updates.running(name) !== null) void this.#tellFirstScore(name, pipelines, until);
    }

    const twin = new TwinService({
      connection,
      client,
      store: desired,
      reporter,
      clock,
      logger,
      onDesired: (state) => {
        connection.setHeartbeat(state.config.heartbeatMs);
        for (const stream of streams) stream.setInterval(state.config.measurementIntervalMs);
        updates.setDesired(state);
        reported.changed();
      },
      onKeys: () => reported.changed(),
      onCommand: (command) => this.#obey(command, { reporter, connection, captures }, until),
    });
    ends.defer(() => twin.stop());
    ends.defer(() => reported.stop());
    twin.start();
    reporter.log('info', 'agent-started', `drover-agent ${AGENT_VERSION} started`, { bootId });
    reported.start();
    sender.start();
    connection.start();
    const renewing = this.#parts.enrolment.keepRenewed(
      () => this.#identity,
      (identity) => void this.#useIdentity(identity, connection),
      until,
    );
    ends.defer(() => renewing);
    logger.info({ bootId, device: this.#identity.device, pipelines: Object.keys(config.pipelines) }, 'running');
  }

  #openOutbox(bootId: string): SqliteOutbox {
    const { config, folder, logger } = this.#parts;
    const outbox = new SqliteOutbox({
      path: folder.outbox,
      bootId,
      maxBytes: config.store.maxBytes,
      onProblem: (problem) => logger.error({ ...problem }, 'the store of messages has a problem'),
    });
    outbox.start();
    return outbox;
  }

  #twinClient(desired: DesiredStore): TwinClient {
    const { clock, logger } = this.#parts;
    const options = { identity: this.#identity, seen: desired.accepted?.order ?? null, clock };
    try {
      return new TwinClient({ ...options, keys: desired.keys ?? this.#identity.keys });
    } catch (error) {
      if (!(error instanceof UntrustedError) || desired.keys === null) throw error;
      logger.warn({}, `the stored key set is not of this identity: ${messageOf(error)}`);
      return new TwinClient({ ...options, keys: this.#identity.keys });
    }
  }

  #connection(bootId: string, client: TwinClient): DeviceConnection {
    const { clock, logger } = this.#parts;
    const connection = new DeviceConnection({
      identity: this.#identity,
      bootId,
      agentVersion: AGENT_VERSION,
      desiredSeen: () => client.seen,
      clock,
      logger,
    });
    let told = '';
    connection.on('failed', ({ url, error }) => {
      // The same failure every minute for a month says nothing more than the first.
      if (told === error.message) return;
      told = error.message;
      logger.warn({ url, code: error.code }, `not connected, detection goes on: ${error.message}`);
    });
    connection.on('online', () => (told = ''));
    connection.on('invalid', ({ topic, error }) => logger.warn({ topic, code: error.code }, error.message));
    return connection;
  }

  /** A device that has a release shall detect again soon after power comes back; how soon can be seen here. */
  async #tellFirstScore(pipeline: string, pipelines: PipelineService, until: AbortSignal): Promise<void> {
    const first = await pipelines.firstScore(pipeline, AbortSignal.any([until, AbortSignal.timeout(60_000)]));
    if (first !== null) this.#parts.logger.info({ pipeline, ...first }, 'first score');
  }

  async #obey(command: Command, { reporter, connection, captures }: CommandParts, signal: AbortSignal): Promise<void> {
    this.#parts.logger.info({ command: command.type, id: command.id }, 'command');
    switch (command.type) {
      case 'erase':
        reporter.commandStatus(command, 'SUCCEEDED', null);
        this.#erase = true;
        this.#ending.abort();
        return;
      case 'renew':
        try {
          const identity = await this.#parts.enrolment.renew(this.#identity, signal);
          reporter.commandStatus(command, 'SUCCEEDED', null);
          await this.#useIdentity(identity, connection);
        } catch (error) {
          reporter.commandStatus(command, 'FAILED', messageOf(error));
        }
        return;
      case 'capture':
        await captures.accept(command);
    }
  }

  async #useIdentity(identity: DeviceIdentity, connection: DeviceConnection): Promise<void> {
    this.#identity = identity;
    await connection.useIdentity(identity);
  }
}

async function reportedPipelines(
  names: readonly string[],
  updates: UpdateService,
  pipelines: PipelineService,
): Promise<ReportedState['pipelines']> {
  const reported: ReportedState['pipelines'] = {};
  for (const name of names) {
    const running = updates.running(name);
    reported[name] = {
      release: running?.release ?? null,
      releaseVersion: running?.releaseVersion ?? null,
      variant: running?.variant ?? null,
      variantDigest: running?.variantDigest ?? null,
      provider: running?.provider ?? null,
      calibrationVersion: running?.calibration?.version ?? null,
      rollout: running?.rollout ?? null,
      ...(await pipelines.figures(name)),
    };
  }
  return reported;
}

/** Until everything stored has been committed by the server, or the time is over. */
async function drained(outbox: SqliteOutbox, connection: DeviceConnection, withinMs: number): Promise<void> {
  outbox.flush();
  const endsAt = performance.now() + withinMs;
  while (connection.online && outbox.status().pending > 0 && performance.now() < endsAt) await sleep(20);
}
