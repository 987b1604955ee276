import { connect } from 'mqtt';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { api, deviceTopics } from '@drover/contracts';
import type { ExecutionStatus, Release, Rollout } from '@drover/contracts';
import { Database } from '../../platform/database/database.ts';
import { testApp } from '../../test-app.fixture.ts';
import type { TestApp } from '../../test-app.fixture.ts';
import { enrolmentOf } from '../enrolment/enrolment.fixture.ts';
import type { Enrolled } from '../enrolment/enrolment.fixture.ts';
import { modelsOf } from '../models/models.fixture.ts';

let app: TestApp;
let release: Release;
const clients: MqttClient[] = [];
beforeAll(async () => {
  app = await testApp({ DROVER_RECONCILE_EVERY: '500ms' });
  release = await modelsOf(app).bundled('pump');
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.endAsync(true)));
  await app.stop();
});

/** Devices that only say what they are told to say, over the real broker. */
async function devices(count: number): Promise<{ device: Enrolled; client: MqttClient }[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const device = await enrolmentOf(app).newDevice();
      const client = connect(app.controlPlane.listeners['device-mqtt']!, {
        clientId: device.device,
        ...device.credentials,
        rejectUnauthorized: false,
        protocolVersion: 4,
      });
      clients.push(client);
      await new Promise<void>((resolve, reject) => client.once('connect', () => resolve()).once('error', reject));
      return { device, client };
    }),
  );
}

async function create(fleet: readonly { device: Enrolled }[], options: object = {}): Promise<Rollout> {
  const target = { kind: 'devices', devices: fleet.map(({ device }) => device.device) };
  const body = { pipeline: 'main', release: release.id, target, ...options };
  const answer = await app.request('POST', '/rollouts', body);
  expect(answer.status).toBe(201);
  return api.rollouts.create.response.parse(answer.body);
}

async function executions(rollout: Rollout) {
  const { body } = await app.request('GET', `/executions?rollout=${rollout.id}&limit=100`);
  return api.executions.list.response.parse(body).items;
}

const show = async (rollout: Rollout): Promise<Rollout> =>
  api.rollouts.get.response.parse((await app.request('GET', `/rollouts/${rollout.id}`)).body);

let seq = 0;
async function report(
  { device, client }: { device: Enrolled; client: MqttClient },
  execution: string,
  status: ExecutionStatus,
  more: object = {},
): Promise<void> {
  seq += 1;
  const empty = { step: null, reason: null, message: null, progress: null, variant: null, variantDigest: null };
  const body = { execution, sequence: seq, status, ...empty, provider: null, at: Date.now(), ...more };
  const payload = JSON.stringify({ bootId: 'boot-1', class: 'e', seq, execution: body });
  await client.publishAsync(deviceTopics('default', device.device).event('execution'), payload, { qos: 1 });
}

/** Whether a device's desired state names the release. */
async function desires({ device }: { device: Enrolled }): Promise<boolean> {
  const { body } = await app.request('GET', `/devices/${device.device}/twin`);
  return body.desired.pipelines.main?.release === release.id;
}

const patience = { timeout: 10_000, interval: 50 };
const thirds = [
  { kind: 'count', count: 1 },
  { kind: 'count', count: 2 },
];

describe('rollouts run by the worker', () => {
  it('go through their waves by what devices report over MQTT', async () => {
    const fleet = await devices(3);
    const rollout = await create(fleet, { waves: thirds });
    for (const wave of [0, 1]) {
      const mine = (await executions(rollout)).filter((execution) => execution.wave === wave);
      for (const { id, device } of mine) {
        const from = fleet.find((one) => one.device.device === device)!;
        await expect.poll(() => desires(from), patience).toBe(true);
        await report(from, id, 'IN_PROGRESS', { step: 'DOWNLOADING' });
        await report(from, id, 'SUCCEEDED', { variant: 'fp32' });
      }
    }
    await expect.poll(async () => (await show(rollout)).status, patience).toBe('SUCCEEDED');
    expect((await show(rollout)).counts.SUCCEEDED).toBe(3);
  });

  it('set aside what a device reports that cannot be true, and go on', async () => {
    const fleet = await devices(1);
    const rollout = await create(fleet);
    await expect.poll(() => desires(fleet[0]!), patience).toBe(true);
    const [execution] = await executions(rollout);
    await report(fleet[0]!, 'exe_unknown', 'SUCCEEDED');
    await report(fleet[0]!, execution!.id, 'TIMED_OUT');
    await report(fleet[0]!, execution!.id, 'SUCCEEDED');
    await expect.poll(async () => (await show(rollout)).status, patience).toBe('SUCCEEDED');
    const { body } = await app.request('GET', `/rejects?device=${fleet[0]!.device.device}`);
    expect(body.items.map((item: { code: string }) => item.code).toSorted()).toEqual([
      'execution-report-invalid',
      'execution-unknown',
    ]);
  });

  it('go on when the whole queue is lost in the middle', async () => {
    const fleet = await devices(2);
    const rollout = await create(fleet, { waves: [thirds[0], thirds[0]] });
    const [first] = await executions(rollout).then((all) => all.filter((execution) => execution.wave === 0));
    const from = fleet.find((one) => one.device.device === first!.device)!;
    await expect.poll(() => desires(from), patience).toBe(true);
    const { pool } = app.controlPlane.app.get(Database);
    const { rows } = await pool.query<{ name: string }>(
      `SELECT string_agg(format('bullmq.%I', tablename), ', ') AS name FROM pg_tables WHERE schemaname = 'bullmq' AND tablename LIKE '%job%'`,
    );
    await pool.query(`TRUNCATE ${rows[0]!.name} CASCADE`);
    await report(from, first!.id, 'SUCCEEDED');
    await expect.poll(async () => (await show(rollout)).waves[1]!.status, patience).toBe('RUNNING');
    const second = fleet.find((one) => one !== from)!;
    await expect.poll(() => desires(second), patience).toBe(true);
  });

  it('are told apart by role: a viewer sees them and changes nothing', async () => {
    const { body: key } = await app.request('POST', '/api-keys', { name: 'v', role: 'viewer' }, { fleet: 'default' });
    const as = { key: key.secret };
    const fleet = await devices(1);
    const rollout = await create(fleet, { paused: true });
    expect((await app.request('GET', `/rollouts/${rollout.id}`, undefined, as)).status).toBe(200);
    expect((await app.request('POST', `/rollouts/${rollout.id}/resume`, undefined, as)).status).toBe(403);
    expect((await app.request('POST', `/rollouts/${rollout.id}/abort`)).body.status).toBe('ABORTED');
    expect((await app.request('POST', `/rollouts/${rollout.id}/abort`)).status).toBe(409);
    expect((await app.request('POST', '/rollouts', { pipeline: 'main' })).status).toBe(400);
  });
});
