import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { deviceTopics } from '@drover/contracts';
import { connectAsync } from 'mqtt';
import type { IClientOptions, MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from './platform/broker/eventually.fixture.ts';
import { enrolmentOf } from './modules/enrolment/enrolment.fixture.ts';
import type { Enrolled } from './modules/enrolment/enrolment.fixture.ts';
import { DeviceGateway } from './platform/broker/device-gateway.ts';
import { testApp } from './test-app.fixture.ts';
import type { TestApp } from './test-app.fixture.ts';

/** Other people's clients, where they are installed. */
const mosquitto = spawnSync('mosquitto_pub', ['--help']).error === undefined;

let app: TestApp;
let enrolment: ReturnType<typeof enrolmentOf>;
const clients: MqttClient[] = [];

beforeAll(async () => {
  app = await testApp();
  enrolment = enrolmentOf(app);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.end(true);
});
afterAll(() => app.stop());

async function connect(url: string, options: IClientOptions): Promise<MqttClient> {
  const client = await connectAsync(url, { reconnectPeriod: 0, ...options }, false);
  client.on('error', () => undefined);
  clients.push(client);
  return client;
}

/** Connects with what the enrolment gave out, as an agent does, and says that it is online. */
async function agent(enrolled: Enrolled) {
  const topics = deviceTopics(enrolled.fleet, enrolled.device);
  const heard: { topic: string; body: any }[] = [];
  const client = await connect(enrolled.mqtt.urls[0]!, {
    ...enrolled.credentials,
    ca: [...enrolled.authorities],
    clientId: enrolled.device,
  });
  client.on('message', (topic, payload) => heard.push({ topic, body: JSON.parse(payload.toString()) }));
  await client.subscribeAsync([topics.desired, topics.ack, topics.allCommands], { qos: 1 });
  await client.publishAsync(topics.status, JSON.stringify({ online: true, bootId: 'boot-1' }), {
    qos: 1,
    retain: true,
  });
  return { client, topics, heard };
}

describe('the gateway', () => {
  it('serves an enrolled device: presence, desired state, measurements, and what is invalid set aside', async () => {
    const enrolled = await enrolment.newDevice();
    const { client, topics, heard } = await agent(enrolled);
    await eventually(() =>
      expect(heard.map(({ topic }) => topic)).toEqual(expect.arrayContaining([topics.ack, topics.desired])),
    );
    const sample = { bootId: 'boot-1', class: 'm', seq: 1, t: Date.now(), channels: ['a', 'b'], values: [1, null] };
    await client.publishAsync(topics.measurements('host'), JSON.stringify(sample), { qos: 1 });
    await client.publishAsync(topics.measurements('host'), JSON.stringify({ ...sample, seq: 2, values: [1] }), {
      qos: 1,
    });
    const device = await app.request('GET', `/devices/${enrolled.device}`);
    expect(device.body).toMatchObject({ online: true });
    const rejects = await app.request('GET', `/rejects?device=${enrolled.device}`);
    expect(rejects.body.items).toHaveLength(1);
    expect(rejects.body.items[0]).toMatchObject({ topic: topics.measurements('host'), device: enrolled.device });
    expect((await app.request('GET', `/rejects?device=${enrolled.device}&code=other`)).body.items).toEqual([]);
    const text = await (await fetch(`${app.url}/metrics`)).text();
    expect(text).toMatch(/drover_rejects_total\{code="[a-z-]+"\} 1/);
    expect(text).toContain('drover_mqtt_connects_total{listener="device-mqtt"} 1');
  });

  it('drops a device whose certificates are revoked, and lets it back with a new one only', async () => {
    const enrolled = await enrolment.newDevice();
    const { client } = await agent(enrolled);
    const ended = once(client as never, 'close');
    expect(
      (await app.request('POST', `/devices/${enrolled.device}/certificates/revoke`, { reason: 'lost' })).status,
    ).toBeLessThan(300);
    await ended;
    await expect(agent(enrolled)).rejects.toMatchObject({ code: 5 });
    const { token } = await enrolment.token({ device: enrolled.device });
    const again = await agent(await enrolment.enrol(token));
    expect(again.client.connected).toBe(true);
  });

  it('tells a decommissioned device to erase before it cuts it off', async () => {
    const enrolled = await enrolment.newDevice();
    const { client, topics, heard } = await agent(enrolled);
    const ended = once(client as never, 'close');
    expect((await app.request('DELETE', `/devices/${enrolled.device}`)).status).toBeLessThan(300);
    const command = await eventually(() => heard.find(({ topic }) => topic.includes('/cmd/erase/'))!.body);
    expect(command).toMatchObject({ kind: 'command', device: enrolled.device, payload: { type: 'erase' } });
    const status = { bootId: 'boot-1', class: 'e', seq: 1, status: 'SUCCEEDED', message: null };
    await client.publishAsync(topics.commandStatus('erase', command.payload.id), JSON.stringify(status), { qos: 1 });
    await ended;
    await expect(agent(enrolled)).rejects.toMatchObject({ code: 5 });
  });

  it("tells integrations what happens, with an API key and the server's certificate from the same authority", async () => {
    const first = await enrolment.newDevice();
    const { body: key } = await app.request('POST', '/api-keys', { name: 'feed', role: 'viewer' });
    const feed = await connect(app.controlPlane.listeners['events-mqtt']!, {
      ca: [...first.authorities],
      username: 'feed',
      password: key.secret,
    });
    const kinds: string[] = [];
    feed.on('message', (topic) => kinds.push(topic));
    await feed.subscribeAsync('drover-events/v1/#');
    const enrolled = await enrolment.newDevice();
    await agent(enrolled);
    const prefix = `drover-events/v1/default/${enrolled.device}`;
    await eventually(() =>
      expect(kinds).toEqual(expect.arrayContaining([`${prefix}/device.enrolled`, `${prefix}/device.online`])),
    );
    const closed = once(feed as never, 'close');
    await app.request('DELETE', `/api-keys/${key.id}`);
    await closed;
  });

  describe.skipIf(!mosquitto)("and Debian's own clients", () => {
    it('publish and subscribe with an issued certificate, and are refused outside its topics', async () => {
      const enrolled = await enrolment.newDevice();
      const topics = deviceTopics(enrolled.fleet, enrolled.device);
      const as = await mosquittoArguments(enrolled);
      const sample = JSON.stringify({ bootId: 'b', class: 'm', seq: 1, t: 1, channels: ['a'], values: [1] });
      expect(
        await run('mosquitto_pub', [...as, '-q', '1', '-t', topics.measurements('s'), '-m', sample]),
      ).toMatchObject({ code: 0 });
      expect(
        await run('mosquitto_pub', [...as, '-q', '2', '-t', topics.measurements('s'), '-m', sample]),
      ).toMatchObject({ code: 0 });
      const streams = await app.request('GET', `/devices/${enrolled.device}/streams`);
      expect(streams.body.items).toHaveLength(1);
      const foreign = `drover/v1/default/dev_other/m/s`;
      expect((await run('mosquitto_pub', [...as, '-q', '1', '-t', foreign, '-m', sample])).code).not.toBe(0);
      expect((await run('mosquitto_sub', [...as, '-W', '3', '-C', '1', '-t', '#'])).code).not.toBe(0);
      const waiting = run('mosquitto_sub', [...as, '-W', '10', '-C', '1', '-t', topics.ack]);
      await eventually(async () => {
        await app.controlPlane.app.get(DeviceGateway).publisher!.publish(topics.ack, Buffer.from('{"mode":"puback"}'));
        expect(await Promise.race([waiting, Promise.resolve(undefined)])).toMatchObject({
          code: 0,
          out: '{"mode":"puback"}\n',
        });
      });
    });

    it('read the feed of their fleet with an API key', async () => {
      const enrolled = await enrolment.newDevice();
      const { body: key } = await app.request('POST', '/api-keys', { name: 'feed', role: 'viewer' });
      const [, , , caFile] = await mosquittoArguments(enrolled);
      const { hostname, port } = new URL(app.controlPlane.listeners['events-mqtt']!);
      const as = ['-h', hostname, '-p', port, '--cafile', caFile!, '-u', 'x', '-P', key.secret];
      const reading = run('mosquitto_sub', [...as, '-W', '10', '-C', '1', '-t', 'drover-events/v1/#', '-v']);
      await eventually(async () => {
        await app.request('PATCH', `/devices/${enrolled.device}`, { tags: { at: String(Date.now()) } });
        const told = await Promise.race([reading, Promise.resolve(undefined)]);
        expect(told?.out).toMatch(`drover-events/v1/default/${enrolled.device}/device.updated {`);
      });
      expect(
        (await run('mosquitto_pub', [...as, '-q', '1', '-t', 'drover-events/v1/default/x/y', '-m', '{}'])).code,
      ).not.toBe(0);
    });
  });
});

/** Exit code and output of a program. */
function run(program: string, args: readonly string[]): Promise<{ code: number | null; out: string }> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { timeout: 15_000 }, (_error, out) => resolve({ code: child.exitCode, out }));
  });
}

/** How Mosquitto's clients are told who they are; files in the test's data folder. The fourth is the authority's file. */
async function mosquittoArguments(enrolled: Enrolled): Promise<string[]> {
  const { hostname, port } = new URL(enrolled.mqtt.urls[0]!);
  const file = (name: string): string => join(app.dataDir, `${enrolled.device}.${name}.pem`);
  await writeFile(file('key'), enrolled.credentials.key);
  await writeFile(file('cert'), enrolled.credentials.cert);
  await writeFile(file('ca'), enrolled.authorities.join('\n'));
  const identity = ['--key', file('key'), '--cert', file('cert'), '-i', enrolled.device];
  return ['-k', '30', '--cafile', file('ca'), '-h', hostname, '-p', port, ...identity];
}
