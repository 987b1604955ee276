import { deviceTopics } from '@drover/contracts';
import type { Capture, Dataset } from '@drover/contracts';
import { connectAsync } from 'mqtt';
import type { MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { eventually } from '../../../platform/broker/eventually.fixture.ts';
import { Database } from '../../../platform/database/database.ts';
import { testApp } from '../../../test-app.fixture.ts';
import type { TestApp } from '../../../test-app.fixture.ts';
import { enrolmentOf } from '../../enrolment/enrolment.fixture.ts';

/** A device without an agent answers to a capture: what is asked of it, and what becomes of its samples. */

// Builds run in threads of their own, beside whatever else the machine does.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let app: TestApp;
const clients: MqttClient[] = [];
beforeAll(async () => {
  app = await testApp({ DROVER_RECONCILE_EVERY: '300ms', DROVER_CAPTURE_GRACE: '2s' });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.end(true);
});
afterAll(() => app.stop());

async function rawDevice() {
  const enrolled = await enrolmentOf(app).newDevice();
  const topics = deviceTopics(enrolled.fleet, enrolled.device);
  const commands: { type: string; id: string; pipeline: string; durationMs: number }[] = [];
  const client = await connectAsync(
    enrolled.mqtt.urls[0]!,
    { reconnectPeriod: 0, ...enrolled.credentials, ca: [...enrolled.authorities], clientId: enrolled.device },
    false,
  );
  clients.push(client);
  client.on('message', (_, payload) => commands.push(payloadOf(payload)));
  await client.subscribeAsync(topics.allCommands, { qos: 1 });
  const send = (topic: string, body: object) => client.publishAsync(topic, JSON.stringify(body), { qos: 1 });
  await client.publishAsync(topics.status, JSON.stringify({ online: true, bootId: 'boot' }), { qos: 1, retain: true });
  let seq = 0;
  return {
    id: enrolled.device,
    commands,
    /** So many samples at 10 Hz, as batches of the stream of a capture. */
    samples: async (capture: string, count: number) => {
      seq += 1;
      const values = Array.from({ length: count }, (_, i) => Math.sin(i / 5));
      await send(topics.measurements(capture), {
        bootId: 'boot',
        class: 'm',
        seq,
        t0: 1_767_225_600_000 + seq * 100_000,
        dt: 100,
        channels: ['a', 'b'],
        columns: [values, values.map((value) => (value > 0.9 ? null : value * 2))],
      });
    },
    answer: async (capture: string, status: string, message: string | null) => {
      seq += 1;
      await send(topics.commandStatus('capture', capture), { bootId: 'boot', class: 'e', seq, status, message });
    },
  };
}

function payloadOf(envelope: Buffer): { type: string; id: string; pipeline: string; durationMs: number } {
  const document = JSON.parse(envelope.toString('utf8')) as { payload: unknown };
  const payload = typeof document.payload === 'string' ? JSON.parse(document.payload) : document.payload;
  return payload as { type: string; id: string; pipeline: string; durationMs: number };
}

async function create(devices: readonly string[], durationMs = 1_000): Promise<Capture> {
  const { status, body } = await app.request('POST', '/captures', { name: 'Pump, normal', devices, durationMs });
  expect(status, JSON.stringify(body)).toBe(202);
  return body as Capture;
}
const get = async (id: string): Promise<Capture> => (await app.request('GET', `/captures/${id}`)).body as Capture;
const ended = (id: string): Promise<Capture> =>
  eventually(async () => {
    const capture = await get(id);
    expect(capture.status).not.toBe('RUNNING');
    return capture;
  }, 100_000);
const typesOf = async (subject: string): Promise<string[]> =>
  (await app.controlPlane.app.get(Database).prisma.event.findMany({ where: { subject }, orderBy: { id: 'asc' } })).map(
    ({ type }) => type,
  );
const openCommands = (id: string) =>
  app.controlPlane.app
    .get(Database)
    .prisma.deviceOutbox.count({ where: { kind: 'command', payload: { path: ['id'], equals: id } } });

describe('a capture', () => {
  it('asks every device by a signed command, and makes a dataset of what they send', async () => {
    const devices = [await rawDevice(), await rawDevice()];
    const { id, deadlineAt, createdAt } = await create(
      devices.map((device) => device.id),
      60_000,
    );
    expect(Date.parse(deadlineAt) - Date.parse(createdAt)).toBeGreaterThan(60_000);
    for (const device of devices) {
      await eventually(() => expect(device.commands).toHaveLength(1));
      expect(device.commands[0]).toEqual({ type: 'capture', id, pipeline: 'main', durationMs: 60_000 });
      await device.samples(id, 100);
    }
    await devices[0]!.answer(id, 'SUCCEEDED', '100 rows');
    await eventually(async () => expect((await get(id)).devices.map(({ status }) => status)).toContain('SUCCEEDED'));
    expect((await get(id)).status).toBe('RUNNING');
    // The answer overtakes the last samples.
    await devices[1]!.answer(id, 'SUCCEEDED', '150 rows');
    await devices[1]!.samples(id, 50);
    const capture = await ended(id);
    expect(capture).toMatchObject({ status: 'COMPLETED', endedAt: expect.any(String) });
    expect(new Map(capture.devices.map(({ device, rows }) => [device, rows]))).toEqual(
      new Map([
        [devices[0]!.id, 100],
        [devices[1]!.id, 150],
      ]),
    );
    const dataset = await eventually(async () => {
      const { body } = await app.request('GET', `/datasets/${capture.dataset}`);
      expect(body.status).not.toBe('VALIDATING');
      return body as Dataset;
    }, 100_000);
    expect(dataset).toMatchObject({ status: 'READY', capture: id, name: 'Pump, normal', report: { rows: 250 } });
    expect(dataset.report!.files[0]!.channels.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(dataset.report!.files[0]!.rateHz).toBeCloseTo(10);
    expect(await typesOf(id)).toEqual(['capture.created', 'capture.completed']);
    const listed = (await app.request('GET', '/captures?status=COMPLETED')).body.items as Capture[];
    expect(listed.map((item) => item.id)).toContain(id);
  });

  it('takes what has arrived by its deadline', async () => {
    const [first, second] = [await rawDevice(), await rawDevice()];
    const { id } = await create([first.id, second.id]);
    await first.samples(id, 80);
    const capture = await ended(id);
    expect(capture.status).toBe('COMPLETED');
    expect(capture.devices.map(({ device, status, rows }) => [device, status, rows])).toEqual(
      [first.id, second.id].toSorted().map((device) => [device, 'TIMED_OUT', device === first.id ? 80 : 0]),
    );
    // Nobody begins when it is over.
    expect(await openCommands(id)).toBe(0);
  });

  it('has failed where nothing has arrived', async () => {
    const device = await rawDevice();
    const { id } = await create([device.id], 100_000);
    await device.answer(id, 'REJECTED', 'there is no such pipeline');
    const capture = await ended(id);
    expect(capture).toMatchObject({ status: 'FAILED', dataset: null });
    expect(capture.devices[0]).toMatchObject({ status: 'FAILED', message: 'there is no such pipeline', rows: 0 });
    const failed = await app.controlPlane.app
      .get(Database)
      .prisma.event.findFirstOrThrow({ where: { subject: id, type: 'capture.failed' } });
    expect(failed.data).toMatchObject({ message: expect.stringContaining('there is no such pipeline') });
  });

  it('can be cancelled, once and again, but not when it has ended', async () => {
    const device = await rawDevice();
    const { id } = await create([device.id], 100_000);
    const cancel = () => app.request('POST', `/captures/${id}/cancel`);
    expect((await cancel()).body).toMatchObject({ status: 'CANCELED', devices: [{ status: 'CANCELED' }] });
    expect((await cancel()).status).toBe(200);
    expect(await openCommands(id)).toBe(0);
    expect(await typesOf(id)).toEqual(['capture.created', 'capture.canceled']);
    const other = await create([device.id], 100_000);
    await device.answer(other.id, 'FAILED', null);
    await ended(other.id);
    expect((await app.request('POST', `/captures/${other.id}/cancel`)).status).toBe(409);
  });

  it('is refused, naming every device that cannot take part', async () => {
    const device = await rawDevice();
    const gone = (await rawDevice()).id;
    await app.request('DELETE', `/devices/${gone}`);
    const body = { name: 'x', devices: [device.id, 'dev_none', gone], durationMs: 1_000 };
    const { status, body: problem } = await app.request('POST', '/captures', body);
    expect(status).toBe(400);
    expect(problem.problems.map(({ path }: { path: string }) => path)).toEqual(['devices.1', 'devices.2']);
    const without = await app.request('POST', '/captures', { ...body, devices: [device.id], pipeline: 'other' });
    expect(without.body.problems).toEqual([{ path: 'devices.0', message: 'has no pipeline "other"' }]);
  });
});
