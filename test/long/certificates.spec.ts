import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { api } from '@drover/contracts';
import { renew } from '@drover/device-protocol';
import { sleep } from '@drover/runtime';
import { Testbed, eventually } from '@drover/testing';

const LIFETIME_MS = 60_000;

let testbed: Testbed;
beforeAll(async () => {
  testbed = await Testbed.start({ DROVER_CERTIFICATE_LIFETIME: `${LIFETIME_MS}ms` });
});
afterAll(() => testbed.stop());

describe('certificates that live for a minute', () => {
  it('let nobody in after that, while an agent has renewed its own in time', async () => {
    const agent = await testbed.agent({ name: 'renewing', config: { sensors: { host: { type: 'host' } } } });
    const device = await testbed.online(agent);
    const first = (await agent.identity()).certificate;
    const forgetful = await testbed.rawDevice();
    const connection = await forgetful.connect();
    expect(connection.open).toBe(true);
    await sleep(LIFETIME_MS + 2_000);
    await expect(forgetful.connect()).rejects.toThrow();
    await expect(renew(forgetful.identity)).rejects.toThrow();
    await eventually(
      'the agent to have another certificate',
      async () => (await agent.identity()).certificate,
      (certificate) => certificate !== first,
      { alsoShow: agent.tail },
    );
    const { items } = await testbed.client.call(api.devices.certificates, { params: { device } });
    expect(items.length).toBeGreaterThan(1);
    // Again from nothing: what it renewed is what it starts with.
    await agent.stop();
    await agent.start();
    await testbed.waitForDevice(device, 'the agent to be back', (seen) => seen.online, agent);
  });
});
