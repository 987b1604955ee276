import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { api } from '@drover/contracts';
import { bundledRecordings } from '@drover/recordings';
import { Testbed, eventually, faultsOf, storedMeasurements } from '@drover/testing';
import type { AgentProcess } from '@drover/testing';

let testbed: Testbed;
let agents: AgentProcess[];
beforeAll(async () => {
  testbed = await Testbed.start();
  const sensor = { type: 'csv', path: bundledRecordings().faults[0]!, speed: 60, loop: true, time: 'recorded' };
  agents = await Promise.all(
    ['jetson-orin', 'pi-4'].map((profile) =>
      testbed.agent({ name: `pump-${profile}`, config: { profile, sensors: { pump: sensor } } }),
    ),
  );
});
afterAll(() => testbed.stop());

describe('the main job', () => {
  it('enrols devices of two tiers, rolls a release out in waves, and shows what they detect', async () => {
    const { client } = testbed;
    const devices = await Promise.all(agents.map((agent) => testbed.online(agent)));
    const shown = await Promise.all(devices.map((device) => client.call(api.devices.get, { params: { device } })));
    expect(shown.map((device) => device.tier)).toEqual(['jetson-orin', 'pi-4']);

    const release = await testbed.release();
    const rollout = await testbed.rollout({
      pipeline: 'pump',
      release: release.id,
      target: { kind: 'devices', devices },
      waves: [
        { kind: 'count', count: 1 },
        { kind: 'count', count: 1 },
      ],
    });
    const done = await testbed.waitForRollout(rollout.id, 'SUCCEEDED');
    expect(done.waves.map((wave) => [wave.status, wave.counts.SUCCEEDED])).toEqual([
      ['SUCCEEDED', 1],
      ['SUCCEEDED', 1],
    ]);
    for (const device of devices) {
      const twin = await eventually(
        `${device} to report its release and latency`,
        () => client.call(api.devices.twin, { params: { device } }),
        (seen) => seen.inSync && (seen.reported?.pipelines.pump?.latency?.count ?? 0) > 0,
      );
      expect(twin.reported!.pipelines.pump).toMatchObject({ release: release.id, provider: 'cpu' });
    }

    for (const device of devices) {
      const { items } = await eventually(
        `an anomaly of ${device}`,
        () => client.call(api.anomalies.list, { query: { device } }),
        (seen) => seen.items.some((anomaly) => anomaly.state === 'closed'),
        { timeoutMs: 60_000, alsoShow: agents[0]!.tail },
      );
      const closed = items.find((anomaly) => anomaly.state === 'closed')!;
      expect(closed).toMatchObject({ pipeline: 'pump', release: release.id, rollout: rollout.id });
      expect(closed.peakScore).toBeGreaterThan(closed.threshold);
      expect(closed.contributions.length).toBeGreaterThan(0);
    }
  });

  it('keeps every measurement once, to be read by channel and step', async () => {
    const [device] = await Promise.all(agents.map((agent) => testbed.online(agent)));
    const boots = await eventually(
      'measurements in the database',
      () => storedMeasurements(testbed.controlPlane, device!),
      (seen) => (seen[0]?.messages ?? 0) > 5,
    );
    expect(faultsOf(boots)).toEqual([]);
    const { client } = testbed;
    const { items } = await client.call(api.devices.streams, { params: { device: device! } });
    const channel = items.find((stream) => stream.name === 'pump')!.channels[0]!;
    const summary = await client.call(api.devices.measurements, {
      params: { device: device! },
      query: { stream: 'pump', channels: [channel], step: 10, limit: 5 },
    });
    expect(summary).toMatchObject({ channels: [channel], stepSeconds: 10 });
    expect(summary.rows.length).toBeGreaterThan(0);
    for (const { count, min, mean, max } of summary.rows) {
      expect(count![0]).toBeGreaterThan(0);
      expect(min![0]!).toBeLessThanOrEqual(mean![0]!);
      expect(mean![0]!).toBeLessThanOrEqual(max![0]!);
    }
  });
});
