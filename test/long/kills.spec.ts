import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { api } from '@drover/contracts';
import { bundledRecordings } from '@drover/recordings';
import { sleep } from '@drover/runtime';
import { Testbed, eventually, faultsOf, notStored, storedMeasurements, unsentMeasurements } from '@drover/testing';
import type { AgentProcess, StoredBoot, UnsentMessage } from '@drover/testing';

let testbed: Testbed;
let agents: AgentProcess[];
let devices: string[];
beforeAll(async () => {
  testbed = await Testbed.start();
  // Fast enough that every kill hits messages on their way.
  const pump = { type: 'csv', path: bundledRecordings().faults[0]!, speed: 100, loop: true, time: 'recorded' };
  const host = { type: 'host', intervalMs: 20 };
  agents = await Promise.all(
    ['one', 'two'].map((name) => testbed.agent({ name, config: { sensors: { pump, host } } })),
  );
  devices = await Promise.all(agents.map((agent) => testbed.online(agent)));
});
afterAll(() => testbed.stop());

const stored = (device: string): Promise<StoredBoot[]> => storedMeasurements(testbed.controlPlane, device);

async function messagesOf(device: string): Promise<number> {
  return (await stored(device)).reduce((sum, boot) => sum + boot.messages, 0);
}

/** Waits until every device has had so many more messages stored, so that the next kill hits a flow. */
async function flowing(more = 2): Promise<void> {
  await Promise.all(
    devices.map(async (device, i) => {
      const options = { timeoutMs: 60_000, alsoShow: () => `${agents[i]!.tail()}\n${testbed.controlPlane.tail()}` };
      const before = await eventually(
        'the database to answer',
        () => messagesOf(device),
        () => true,
        options,
      );
      const isMore = (now: number): boolean => now >= before + more;
      await eventually(`messages of ${device} to be stored`, () => messagesOf(device), isMore, options);
    }),
  );
}

/** Whatever was stored on a device comes once: no number is missing up to the last one, none is there twice. */
async function nothingLostOrTwice(): Promise<void> {
  for (const [i, device] of devices.entries())
    await eventually(
      `every message of ${device} to be there once`,
      async () => faultsOf(await stored(device)),
      (faults) => faults.length === 0,
      { alsoShow: agents[i]!.tail },
    );
}

/** What a killed agent had stored and not sent is all there. */
async function arrived(device: string, messages: readonly UnsentMessage[]): Promise<void> {
  await eventually(
    `${messages.length} messages that ${device} had stored to arrive`,
    () => notStored(testbed.controlPlane, device, messages),
    (missing) => missing.length === 0,
    { timeoutMs: 60_000 },
  );
}

describe('kill -9 in the middle of traffic loses and doubles no stored message', () => {
  it('of the gateway', async () => {
    await flowing();
    await testbed.controlPlane.kill();
    await testbed.controlPlane.start();
    await flowing();
    await nothingLostOrTwice();
  });

  it('of PostgreSQL, which the control plane starts again', async () => {
    await flowing();
    for (let times = 0; times < 2; times += 1) {
      const pid = await testbed.controlPlane.databasePid();
      process.kill(pid, 'SIGKILL');
      await eventually(
        'another PostgreSQL to run',
        () => testbed.controlPlane.databasePid(),
        (now) => now !== pid,
        { alsoShow: testbed.controlPlane.tail },
      );
      await flowing();
    }
    expect(testbed.controlPlane.running).toBe(true);
    await nothingLostOrTwice();
  });

  it('of an agent, which sends what it had stored when it is back', async () => {
    await flowing();
    const [agent] = agents;
    const left: UnsentMessage[] = [];
    const boots = (await stored(devices[0]!)).length;
    for (let times = 0; times < 2; times += 1) {
      await agent!.kill();
      left.push(...(await unsentMeasurements(agent!)));
      await agent!.start();
      await eventually(
        'another boot of the agent',
        () => stored(devices[0]!),
        (now) => now.length > boots + times,
        {
          alsoShow: agent!.tail,
        },
      );
      await flowing();
    }
    await arrived(devices[0]!, left);
    await nothingLostOrTwice();
  });

  it('of all three at once, after the agents could not send for a while', async () => {
    await flowing();
    const pid = await testbed.controlPlane.databasePid();
    await testbed.controlPlane.kill();
    process.kill(pid, 'SIGKILL');
    await sleep(1_500);
    await Promise.all(agents.map((agent) => agent.kill()));
    const left = await Promise.all(agents.map((agent) => unsentMeasurements(agent)));
    expect(left.every((messages) => messages.length > 0)).toBe(true);
    await Promise.all([...agents.map((agent) => agent.start()), testbed.controlPlane.start()]);
    await flowing();
    for (const [i, device] of devices.entries()) await arrived(device, left[i]!);
    await nothingLostOrTwice();
  });

  it('and nothing of it was dropped or rejected on the way', async () => {
    for (const device of devices) {
      const twin = await testbed.client.call(api.devices.twin, { params: { device } });
      expect(Object.values(twin.reported?.store.dropped ?? {}).every((count) => count === 0)).toBe(true);
    }
    const rejects = await testbed.client.call(api.rejects.list, {});
    expect(rejects.items).toEqual([]);
  });
});
