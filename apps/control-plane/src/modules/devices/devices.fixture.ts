import type { DeviceFilter, DeviceQuery, HardwareProfile, RolloutTarget } from '@drover/contracts';
import { deviceQuerySchema } from '@drover/contracts';
import type { Database } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { DeviceLifecycle } from './device-lifecycle.service.ts';
import { DeviceRegistry } from './device-registry.service.ts';
import { DeviceSelection } from './device-selection.service.ts';
import { DeviceRepository } from './device.repository.ts';
import { GroupRepository } from './group.repository.ts';
import { GroupService } from './group.service.ts';
import { TwinRepository } from './twin.repository.ts';
import { TwinService } from './twin.service.ts';

export const PI_4: HardwareProfile = {
  board: 'Raspberry Pi 4 Model B Rev 1.4',
  arch: 'arm64',
  cpuModel: 'Cortex-A72',
  cpuCores: 4,
  memoryBytes: 4 * 2 ** 30,
  providers: ['cpu'],
  os: 'Debian GNU/Linux 13',
  agentVersion: '0.1.0',
  runtimeVersion: '1.30.0',
  simulated: false,
};

/** The module's services on a database, put together without Nest. */
export function devicesOn(database: Database) {
  const devices = new DeviceRepository(database);
  const groupRepository = new GroupRepository(database);
  const events = new EventOutbox();
  const groups = new GroupService(database, groupRepository, events);
  const twins = new TwinService(new TwinRepository(database));
  const registry = new DeviceRegistry(database, devices, groupRepository, events);
  const lifecycle = new DeviceLifecycle(devices, groups, twins, events);
  const selection = new DeviceSelection(groupRepository);
  return {
    groups,
    twins,
    registry,
    lifecycle,
    /** Enters a device. @returns its id */
    enter: async (fleet = 'default', profile: HardwareProfile = PI_4, pipelines: string[] = ['main']) => {
      const entered = await database.transaction((tx) => lifecycle.register(tx, fleet, { profile, pipelines }));
      return entered.device;
    },
    list: (query: Record<string, unknown>, fleet = 'default') => registry.list(fleet, deviceQuery(query)),
    select: (target: RolloutTarget, fleet = 'default') => selection.resolve(database.prisma, fleet, target),
    selectFilter: (filter: DeviceFilter) => selection.resolve(database.prisma, 'default', { kind: 'filter', filter }),
    eventsOf: async (subject: string) => {
      const rows = await database.prisma.event.findMany({ where: { subject }, orderBy: { id: 'asc' } });
      return rows.map((row) => ({ fleet: row.fleetId, type: row.type, data: row.data as Record<string, unknown> }));
    },
  };
}

/** A query as it comes from a URL. */
export function deviceQuery(query: Record<string, unknown>): DeviceQuery {
  return deviceQuerySchema.parse(query);
}
