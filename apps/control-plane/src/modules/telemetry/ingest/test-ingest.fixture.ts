import { devicePrefix, encodeJson, parseDeviceTopic } from '@drover/contracts';
import { silentLogger } from '@drover/runtime';
import type { DeviceMessage } from '../../../platform/broker/device-gateway.ts';
import type { Database } from '../../../platform/database/database.ts';
import { Metrics } from '../../../platform/metrics.ts';
import { IngestIdsRepository } from './ingest-ids.repository.ts';
import { IngestIds } from './ingest-ids.service.ts';
import { IngestMetrics } from './ingest-metrics.ts';
import { MeasurementIngest } from './measurement-ingest.service.ts';
import type { NewReject, RejectStore } from './reject-desk.ts';
import { RejectDesk } from './reject-desk.ts';
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

/** Keeps rejects in memory: the table and its service belong to another module, with tests of their own. */
export class CollectedRejects implements RejectStore {
  readonly rejects: NewReject[] = [];
  addMany(rejects: readonly NewReject[]): Promise<void> {
    this.rejects.push(...rejects);
    return Promise.resolve();
  }
}

/** The ingest of measurements, by hand instead of by injection. */
export function measurementIngest(database: Database) {
  const metrics = new Metrics();
  const ingestMetrics = new IngestMetrics(metrics);
  const collected = new CollectedRejects();
  const rejects = new RejectDesk(collected, ingestMetrics);
  const ids = new IngestIds(new IngestIdsRepository(database));
  const measurements = new MeasurementIngest(ids, new SampleRepository(database), rejects, ingestMetrics, silentLogger);
  return { measurements, ids, rejects, collected, metrics, ingestMetrics };
}
