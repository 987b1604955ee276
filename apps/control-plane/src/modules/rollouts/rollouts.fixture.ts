import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CreateRollout, DesiredPipeline, Execution, ExecutionReport, HardwareProfile } from '@drover/contracts';
import { createRolloutSchema } from '@drover/contracts';
import { newId, silentLogger } from '@drover/runtime';
import { Config } from '../../config/config.ts';
import type { TestDatabase } from '../../platform/database/test-database.fixture.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { EventReader } from '../../platform/events/event-reader.ts';
import { Queues } from '../../platform/queue/queues.ts';
import { ArtifactStore } from '../../platform/storage/artifact-store.ts';
import { DeviceSelection } from '../devices/device-selection.service.ts';
import { PI_4, devicesOn } from '../devices/devices.fixture.ts';
import { GroupRepository } from '../devices/group.repository.ts';
import { BenchmarkRepository } from '../models/benchmarks/benchmark.repository.ts';
import { CandidateService } from '../models/candidates/candidate.service.ts';
import { ReleaseRepository } from '../models/releases/release.repository.ts';
import { IngestRegistry } from '../telemetry/ingest/ingest-registry.ts';
import { ExecutionReports } from './execution-reports.ts';
import { ExecutionRepository } from './execution.repository.ts';
import { RolloutEngine } from './rollout-engine.ts';
import { RolloutProcessor } from './rollout.processor.ts';
import { RolloutRepository } from './rollout.repository.ts';
import { RolloutService } from './rollout.service.ts';

export type ReportInput = Partial<ExecutionReport> & Pick<ExecutionReport, 'status'>;

/**
 * Rollouts on a database, put together without Nest and without workers: a test takes every step itself, so it decides what comes
 * before what. Jobs are added to a real queue that nobody reads.
 */
export async function rolloutsOn(
  { database, listener, connectionString }: TestDatabase,
  env: Readonly<Record<string, string>> = {},
) {
  const dataDir = await mkdtemp(join(tmpdir(), 'drover-rollouts-'));
  const store = new ArtifactStore(dataDir);
  await store.start();
  const queues = new Queues({ kind: 'postgres', connectionString }, silentLogger);
  const devices = devicesOn(database);
  const events = new EventOutbox();
  const rollouts = new RolloutRepository(database);
  const executions = new ExecutionRepository(database);
  const releases = new ReleaseRepository(database);
  const config = new Config({ DROVER_DATA_DIR: dataDir, ...env });
  const candidates = new CandidateService(config, releases, new BenchmarkRepository(database));
  const engine = new RolloutEngine(
    database,
    rollouts,
    executions,
    releases,
    candidates,
    devices.twins,
    store,
    queues,
    events,
  );
  const selection = new DeviceSelection(new GroupRepository(database));
  const service = new RolloutService(database, rollouts, executions, releases, selection, engine, events);
  const reports = new ExecutionReports(new IngestRegistry(), executions, engine, events);
  const reader = new EventReader(database);
  const processor = new RolloutProcessor(
    config,
    database,
    listener,
    reader,
    events,
    queues,
    engine,
    rollouts,
    executions,
    silentLogger,
  );
  let sequence = 0;
  let version = 0;

  /** A release that can be rolled out, with variants of these precisions. */
  const release = async (precisions: readonly string[] = ['int8', 'fp32'], fleet = 'default'): Promise<string> => {
    version += 1;
    const id = newId('rel');
    const model = { fleetId: fleet, id: 'pump' };
    await database.prisma.model.upsert({
      where: { fleetId_id: model },
      create: { ...model, name: 'Pump' },
      update: {},
    });
    const { digest } = await store.putBytes(Buffer.from(id));
    await database.prisma.release.create({
      data: {
        fleetId: fleet,
        id,
        modelId: 'pump',
        version,
        status: 'READY',
        family: 'pca',
        manifestDigest: digest,
        variants: {
          create: precisions.map((precision) => ({
            name: precision,
            precision,
            size: 'full',
            digest,
            sizeBytes: 1,
            document: { policy: {}, metrics: {} },
          })),
        },
      },
    });
    return id;
  };

  /** What a device says of its execution, as one batch of one message. @returns what was refused */
  const report = (execution: Pick<Execution, 'id' | 'device'>, input: ReportInput, fleet = 'default') =>
    database.transaction((tx) => reports.apply(tx, [received(execution, input, fleet)]));

  const received = (execution: Pick<Execution, 'id' | 'device'>, input: ReportInput, fleet = 'default') => {
    sequence += 1;
    const full: ExecutionReport = {
      execution: execution.id,
      sequence,
      step: null,
      reason: null,
      message: null,
      progress: null,
      variant: null,
      variantDigest: null,
      provider: null,
      at: Date.now(),
      ...input,
    };
    const message = { bootId: 'boot', class: 'e' as const, seq: sequence, execution: full };
    return { fleet, device: execution.device, boot: 1, message };
  };

  return {
    ...devices,
    database,
    engine,
    service,
    processor,
    executions,
    reports,
    release,
    report,
    received,
    /** Enters so many devices. */
    many: async (count: number, fleet = 'default', profile: HardwareProfile = PI_4): Promise<string[]> => {
      const ids: string[] = [];
      for (let i = 0; i < count; i += 1) ids.push(await devices.enter(fleet, profile));
      return ids;
    },
    create: async (input: Partial<CreateRollout> & { release: string; devices?: string[] }, fleet = 'default') => {
      const { devices: ids, ...rest } = input;
      const target = ids === undefined ? {} : { target: { kind: 'devices', devices: ids } };
      return service.create(fleet, createRolloutSchema.parse({ pipeline: 'main', ...target, ...rest }));
    },
    /** Does what the jobs would do, until nothing is left to do. */
    drive: async (rollout: string, fleet = 'default') => {
      await engine.advance(fleet, rollout);
      await engine.dispatch(fleet, rollout, new AbortController().signal);
      await engine.advance(fleet, rollout);
      return service.get(fleet, rollout);
    },
    executionsOf: async (rollout: string, fleet = 'default') => {
      const query = { rollout, limit: 1_000, sort: 'queuedAt' } as const;
      const { items } = await service.listExecutions(fleet, query);
      return items.toSorted((a, b) => a.wave - b.wave || (a.id < b.id ? -1 : 1));
    },
    desired: async (device: string, fleet = 'default'): Promise<DesiredPipeline | undefined> => {
      const twin = await devices.twins.get(fleet, device);
      return twin.desired.pipelines.main;
    },
    /** How often a gateway was asked to send the device its desired state. */
    notices: (device: string) => database.prisma.deviceOutbox.count({ where: { deviceId: device, kind: 'desired' } }),
    setOnline: (device: string, online: boolean) =>
      database.prisma.device.update({ where: { id: device }, data: { online } }),
    stop: async () => {
      await queues.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export type RolloutsBench = Awaited<ReturnType<typeof rolloutsOn>>;
