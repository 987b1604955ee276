import { deviceTopics, encodeJson } from '@drover/contracts';
import { verifyEnvelope, verifyKeySet } from '@drover/trust';
import { connectAsync } from 'mqtt';
import type { MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { testApp } from '../../test-app.fixture.ts';
import type { TestApp } from '../../test-app.fixture.ts';
import { enrolmentOf } from './enrolment.fixture.ts';
import type { Enrolled } from './enrolment.fixture.ts';

// What taking an identity away means for a device that is connected over MQTT at that moment.
let app: TestApp;
let enrolment: ReturnType<typeof enrolmentOf>;
const clients: MqttClient[] = [];
beforeAll(async () => {
  app = await testApp();
  enrolment = enrolmentOf(app);
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
});
afterAll(() => app.stop());

/** Connects as an agent does, says it is there, and waits until the server knows. */
async function online(device: Enrolled): Promise<MqttClient> {
  const topics = deviceTopics(device.fleet, device.device);
  const client = await connectAsync(device.mqtt.urls[0]!, {
    ...device.credentials,
    ca: device.authorities,
    clientId: device.device,
    reconnectPeriod: 0,
  });
  client.on('error', () => undefined);
  clients.push(client);
  await client.subscribeAsync([topics.allCommands, topics.desired], { qos: 1 });
  await client.publishAsync(topics.status, encodeJson({ online: true, bootId: 'b' }) as Buffer, {
    qos: 1,
    retain: true,
  });
  await vi.waitFor(async () => {
    const { body } = await app.request('GET', `/devices/${device.device}`);
    expect(body.online).toBe(true);
  }, 5_000);
  return client;
}

const cutOff = (client: MqttClient) => vi.waitFor(() => expect(client.connected).toBe(false), 4_000);

describe('a connected device', () => {
  it('is cut off when its certificates are revoked, and cannot come back', async () => {
    const device = await enrolment.newDevice();
    const client = await online(device);
    expect((await app.request('POST', `/devices/${device.device}/certificates/revoke`, {})).status).toBe(204);
    await cutOff(client);
    await expect(online(device)).rejects.toThrow();
  });

  it('is cut off when other hardware takes its place, which then connects under the same id', async () => {
    const old = await enrolment.newDevice();
    const client = await online(old);
    const fresh = await enrolment.enrol((await enrolment.token({ device: old.device })).token);
    await cutOff(client);
    await online(fresh);
    await expect(online(old)).rejects.toThrow();
  });

  it('is told to erase itself when it is decommissioned, and cut off once it has confirmed', async () => {
    const device = await enrolment.newDevice();
    const client = await online(device);
    const topics = deviceTopics(device.fleet, device.device);
    let erase: { topic: string; payload: Buffer } | undefined;
    client.on('message', (topic, payload) => {
      if (topic.includes('/cmd/')) erase = { topic, payload };
    });
    expect((await app.request('DELETE', `/devices/${device.device}`)).status).toBe(204);
    await vi.waitFor(() => expect(erase).toBeDefined(), 4_000);
    const keySet = verifyKeySet(device.keys, device.rootKey, 0);
    const { fleet, device: id } = device;
    const envelope = verifyEnvelope(JSON.parse(erase!.payload.toString()), {
      fleet,
      device: id,
      keySet,
      now: Date.now(),
      skewMs: 0,
    });
    const command = envelope.payload as { type: string; id: string };
    expect(erase!.topic).toBe(topics.command('erase', command.id));
    expect(client.connected).toBe(true);
    const answer = { bootId: 'b', class: 'e', seq: 1, status: 'SUCCEEDED', message: null };
    await client.publishAsync(topics.commandStatus('erase', command.id), encodeJson(answer) as Buffer, { qos: 1 });
    await cutOff(client);
    await expect(online(device)).rejects.toThrow();
  });

  it('is cut off after some seconds where it does not confirm that it erases itself', async () => {
    const device = await enrolment.newDevice();
    const client = await online(device);
    expect((await app.request('DELETE', `/devices/${device.device}`)).status).toBe(204);
    await vi.waitFor(() => expect(client.connected).toBe(false), 10_000);
  });
});
