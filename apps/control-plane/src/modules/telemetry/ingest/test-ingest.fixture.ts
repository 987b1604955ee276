import { devicePrefix, encodeJson, parseDeviceTopic } from '@drover/contracts';
import { silentLogger } from '@drover/runtime';
import type { DeviceMessage } from '../../../platform/broker/device-gateway.ts';
import type { Database } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { Metrics } from '../../../platform/metrics.ts';
import { DeviceLifecycle } from '../../devices/device-lifecycle.service.ts';
import { DeviceRepository } from '../../devices/device.repository.ts';
import { GroupRepository } from '../../devices/group.repository.ts';
import { GroupService } from '../../devices/group.service.ts';
import { RejectsRepository } from '../../devices/rejects/rejects.repository.ts';
import { RejectsService } from '../../devices/rejects/rejects.service.ts';
import { TwinRepository } from '../../devices/twin.repository.ts';
import { TwinService } from '../../devices/twin.service.ts';
import { DeviceRecordRepository } from './device-record.repository.ts';
import { DeviceRecords } from './device-records.service.ts';
import { EventIngest } from './event-ingest.service.ts';
import { IngestIdsRepository } from './ingest-ids.repository.ts';
import { IngestIds } from './ingest-ids.service.ts';
import { IngestMetrics } from './ingest-metrics.ts';
import { IngestRegistry } from './ingest-registry.ts';
import { MeasurementIngest } from './measurement-ingest.service.ts';
import { ReportedIngest } from './reported-ingest.service.ts';
import { ReportedTwinRepository } from './reported-twin.repository.ts';
import { SampleRepository } from './sample.repository.ts';

export const FLEET = 'default';

/** Devices with a twin, as enrolment makes them. */
export async function addDevices(database: Database, ...devices: string[]): Promise<void> {
  const { prisma } = database;
  const profile = {
    board: 'Test board',
    arch: 'x64',
    cpuModel: 'test',
    cpuCores: 2,
    memoryBytes: 2 ** 32,
    providers: ['cpu'],
    os: 'test',
    agentVersion: '0.1.0',
    runtimeVersion: '1',
    simulated: false,
  };
  for (const id of devices) {
    await prisma.device.create({
      data: { fleetId: FLEET, id, name: id, tier: 'generic-x64', profile, agentVersion: '0.1.0' },
    });
    await prisma.twin.create({ data: { fleetId: FLEET, deviceId: id, desired: {}, epoch: 1 } });
  }
}

/** A message as the broker hands it on. @param path topic below the device's prefix */
export function deviceMessage(device: string, path: string, content: object | Uint8Array): DeviceMessage {
  const topic = `${devicePrefix(FLEET, device)}/${path}`;
  return {
    principal: { fleet: FLEET, device, certificateSerial: '1' },
    topic,
    parsed: parseDeviceTopic(topic)!,
    payload: content instanceof Uint8Array ? content : encodeJson(content),
    will: false,
  };
}

/** What was set aside, oldest first. */
export async function storedRejects(database: Database): Promise<{ device: string; code: string; message: string }[]> {
  const rows = await database.prisma.reject.findMany({ orderBy: { id: 'asc' } });
  return rows.map(({ deviceId, code, message }) => ({ device: deviceId, code, message }));
}

/** Events and reported states, by hand instead of by injection. */
export function eventIngest(database: Database) {
  const { ids, rejects, metrics, ingestMetrics } = measurementIngest(database);
  const registry = new IngestRegistry();
  new DeviceRecords(registry, new DeviceRecordRepository()).onModuleInit();
  const events = new EventIngest(registry, ids, database, rejects, ingestMetrics, silentLogger);
  const outbox = new EventOutbox();
  const devices = new DeviceRepository(database);
  const twins = new TwinService(new TwinRepository(database));
  const groups = new GroupService(database, new GroupRepository(database), outbox);
  const lifecycle = new DeviceLifecycle(devices, groups, twins, outbox);
  const reports = new ReportedTwinRepository();
  const reported = new ReportedIngest(ids, database, reports, lifecycle, outbox, rejects, ingestMetrics, silentLogger);
  return { events, reported, registry, outbox, metrics };
}

/** The ingest of measurements, by hand instead of by injection. */
export function measurementIngest(database: Database) {
  const metrics = new Metrics();
  const ingestMetrics = new IngestMetrics(metrics);
  const rejects = new RejectsService(new RejectsRepository(database), metrics);
  const ids = new IngestIds(new IngestIdsRepository(database));
  const measurements = new MeasurementIngest(ids, new SampleRepository(database), rejects, ingestMetrics, silentLogger);
  return { measurements, ids, rejects, metrics, ingestMetrics };
}
