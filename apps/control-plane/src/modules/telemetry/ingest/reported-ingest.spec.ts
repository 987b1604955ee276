import type { ReportedState } from '@drover/contracts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { testDatabase } from '../../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../../platform/database/test-database.fixture.ts';
import { FLEET, addDevices, deviceMessage, eventIngest, storedRejects } from './test-ingest.fixture.ts';

const PROFILE = {
  board: 'Raspberry Pi 4 Model B Rev 1.4',
  arch: 'arm64',
  cpuModel: 'Cortex-A72',
  cpuCores: 4,
  memoryBytes: 4e9,
  providers: ['cpu'],
  os: 'Debian 12',
  agentVersion: '0.2.0',
  runtimeVersion: '1.30',
  simulated: false,
} as const;

function state(version: number, release: string | null = null, windows = 0): ReportedState {
  const pump = {
    release,
    releaseVersion: release === null ? null : 1,
    variant: release === null ? null : 'int8',
    variantDigest: release === null ? null : 'a'.repeat(64),
    provider: 'cpu',
    calibrationVersion: null,
    rollout: null,
    latency: null,
    windows,
    lastScoreAt: null,
  };
  return {
    format: 'drover.reported/1',
    desired: { epoch: 1, version },
    keysVersion: 1,
    profile: { ...PROFILE, providers: ['cpu'] },
    pipelines: { pump },
    store: { pending: 0, bytes: 0, dropped: {} },
  };
}

describe('the ingest of reported states', () => {
  let db: TestDatabase;
  let ingest: ReturnType<typeof eventIngest>;

  beforeAll(async () => {
    db = await testDatabase();
  });
  afterAll(() => db.stop());
  beforeEach(async () => {
    await db.database.pool.query('TRUNCATE devices, events, rejects CASCADE');
    await addDevices(db.database, 'dev-a', 'dev-b');
    ingest = eventIngest(db.database);
  });

  const report = (seq: number, reported: object, boot = 'boot-1', device = 'dev-a') =>
    ingest.reported.handle(deviceMessage(device, 'twin/reported', { bootId: boot, class: 's', seq, reported }));
  const twin = async (device = 'dev-a') =>
    (await db.database.prisma.twin.findUnique({ where: { fleetId_deviceId: { fleetId: FLEET, deviceId: device } } }))!;
  const events = async (type: string) =>
    (await db.database.prisma.event.findMany({ where: { type }, orderBy: { id: 'asc' } })).map((event) => event.data);

  it('stores the report and which desired state the device has seen', async () => {
    await report(1, state(4, 'rel-1'));
    const row = await twin();
    expect(row).toMatchObject({ reported: state(4, 'rel-1'), seenEpoch: 1, seenVersion: 4, reportedSeq: 1n });
    expect(row.reportedAt).toBeInstanceOf(Date);
  });

  it('lets the newest report win, by boot and then by number, in whatever order and batch they come', async () => {
    await Promise.all([
      report(2, state(2)),
      report(1, state(1)),
      report(3, state(3)),
      report(1, state(9), 'boot-1', 'dev-b'),
    ]);
    await report(2, state(2));
    expect((await twin()).seenVersion).toBe(3);
    await report(1, state(4), 'boot-2');
    await report(50, state(5), 'boot-1');
    expect((await twin()).seenVersion).toBe(4);
    expect((await twin('dev-b')).seenVersion).toBe(9);
  });

  it('tells of a desired state that was taken and of a release that changed, not of every minute', async () => {
    await report(1, state(1));
    await report(2, state(1, null, 100));
    await report(3, state(2, null, 200));
    await report(4, state(2, 'rel-1', 300));
    await report(5, state(2, 'rel-1', 400));
    expect(await events('twin.reported')).toEqual([
      { epoch: 1, version: 1, pipelines: {} },
      { epoch: 1, version: 2, pipelines: {} },
      { epoch: 1, version: 2, pipelines: { pump: { release: 'rel-1', variant: 'int8', provider: 'cpu' } } },
    ]);
  });

  it('takes a new hardware profile over into the registry, and the tier with it', async () => {
    await report(1, state(1));
    await report(2, state(1));
    const device = await db.database.prisma.device.findUnique({ where: { id: 'dev-a' } });
    expect(device).toMatchObject({ profile: PROFILE, tier: 'pi-4', agentVersion: '0.2.0' });
    expect(await events('device.updated')).toEqual([{ changed: ['profile', 'tier'], tier: 'pi-4' }]);
  });

  it('takes the last words of a decommissioned device', async () => {
    await db.database.prisma.device.update({ where: { id: 'dev-a' }, data: { state: 'decommissioned' } });
    await report(1, state(7));
    expect((await twin()).seenVersion).toBe(7);
    expect(await storedRejects(db.database)).toEqual([]);
  });

  it('sets aside what is invalid, too large or of nobody', async () => {
    await report(1, { ...state(1), format: 'other' });
    await report(2, { ...state(1), pipelines: { pump: { ...state(1).pipelines.pump, provider: 'x'.repeat(70_000) } } });
    await report(3, state(1), 'boot-1', 'dev-x');
    await report(4, { ...state(1), profile: { ...PROFILE, os: 'zero \u0000 byte' } });
    await report(5, state(5));
    expect((await storedRejects(db.database)).map((reject) => reject.code)).toEqual([
      'invalid-message',
      'invalid-message',
      'unknown-device',
      'not-storable',
    ]);
    expect((await twin()).seenVersion).toBe(5);
  });
});
