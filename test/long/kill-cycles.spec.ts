import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { api } from '@drover/contracts';
import { bundledRecordings } from '@drover/recordings';
import { sleep } from '@drover/runtime';
import { Testbed, eventually, faultsOf, notStored, storedMeasurements, unsentMeasurements } from '@drover/testing';
import type { AgentProcess, UnsentMessage } from '@drover/testing';

const CYCLES = 12;
const AGENTS = 3;

let testbed: Testbed;
let agents: AgentProcess[];
let devices: string[];
beforeAll(async () => {
  testbed = await Testbed.start();
  const pump = { type: 'csv', path: bundledRecordings().faults[0]!, speed: 100, loop: true, time: 'recorded' };
  const host = { type: 'host', intervalMs: 20 };
  agents = await Promise.all(
    Array.from({ length: AGENTS }, (_, i) =>
      testbed.agent({ name: `agent-${i}`, config: { sensors: { pump, host } } }),
    ),
  );
  devices = await Promise.all(agents.map((agent) => testbed.online(agent)));
});
afterAll(() => testbed.stop());

describe('kill -9 of anything, again and again, while a release is rolled out', () => {
  it('loses and doubles nothing, and the rollout comes to its end', async () => {
    const release = await testbed.release();
    const rollout = await testbed.rollout({
      pipeline: 'pump',
      release: release.id,
      target: { kind: 'devices', devices },
      waves: [
        { kind: 'count', count: 1 },
        { kind: 'count', count: AGENTS },
      ],
    });
    const left = new Map<string, UnsentMessage[]>(devices.map((device) => [device, []]));
    for (let cycle = 0; cycle < CYCLES; cycle += 1) {
      const victim = cycle % (AGENTS + 2);
      if (victim < AGENTS) {
        await agents[victim]!.kill();
        left.get(devices[victim]!)!.push(...(await unsentMeasurements(agents[victim]!)));
        await agents[victim]!.start();
      } else if (victim === AGENTS) {
        await testbed.controlPlane.kill();
        await sleep(500 * (cycle % 3));
        await testbed.controlPlane.start();
      } else {
        process.kill(await testbed.controlPlane.databasePid(), 'SIGKILL');
      }
      await sleep(1_500);
    }
    await testbed.waitForRollout(rollout.id, 'SUCCEEDED', 180_000);
    for (const [i, device] of devices.entries()) {
      const options = { timeoutMs: 120_000, alsoShow: agents[i]!.tail };
      await eventually(
        `what ${device} had stored to arrive`,
        () => notStored(testbed.controlPlane, device, left.get(device)!),
        (missing) => missing.length === 0,
        options,
      );
      await eventually(
        `every message of ${device} to be there once`,
        async () => faultsOf(await storedMeasurements(testbed.controlPlane, device)),
        (faults) => faults.length === 0,
        options,
      );
    }
    expect((await testbed.client.call(api.rejects.list)).items).toEqual([]);
  });
});
