import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'mqtt';
import type { MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviceTopics } from '@drover/contracts';
import type { Release } from '@drover/contracts';
import { Database } from '../../../platform/database/database.ts';
import { testApp } from '../../../test-app.fixture.ts';
import type { TestApp } from '../../../test-app.fixture.ts';
import { TwinService } from '../../devices/twin.service.ts';
import { call, enrolmentOf } from '../../enrolment/enrolment.fixture.ts';
import type { Enrolled } from '../../enrolment/enrolment.fixture.ts';
import { modelsOf } from '../models.fixture.ts';

let app: TestApp;
let release: Release;
let device: Enrolled;
let other: Enrolled;
beforeAll(async () => {
  app = await testApp({ DROVER_MAX_ARTIFACT: '1MiB' });
  await app.request('POST', '/fleets', { id: 'other', name: 'Other' });
  release = await modelsOf(app).bundled('pump');
  device = await enrolmentOf(app).newDevice();
  other = await enrolmentOf(app).newDevice();
  await desire(device.device, release);
});
afterAll(() => app.stop());

async function desire(id: string, wanted: Release): Promise<void> {
  const manifest = { digest: wanted.manifestDigest!, sizeBytes: 1 };
  await app.controlPlane.app.get(Database).transaction((tx) =>
    app.controlPlane.app.get(TwinService).changePipeline(tx, 'default', id, 'main', {
      release: wanted.id,
      releaseVersion: wanted.version,
      rollout: null,
      execution: null,
      manifest,
      candidates: ['fp32'],
      calibration: null,
    }),
  );
}

async function get(path: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${app.url}/api/v1${path}`, { headers: { authorization: `Bearer ${app.adminKey}`, ...headers } });
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('artifacts in the API', () => {
  it('are stored by their digest, the same bytes once', async () => {
    const bytes = randomBytes(100_000);
    const models = modelsOf(app);
    const stored = await models.upload(bytes);
    expect(stored).toMatchObject({ digest: sha256(bytes), sizeBytes: 100_000, mediaType: 'text/csv' });
    expect(await models.upload(bytes)).toEqual(stored);
    const response = await get(`/artifacts/${stored.digest}`);
    expect(response.headers.get('etag')).toBe(`"${stored.digest}"`);
    expect(response.headers.get('content-type')).toBe('text/csv');
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true);
  });

  it('are read in ranges, resumed and revalidated', async () => {
    const bytes = randomBytes(10_000);
    const { digest } = await modelsOf(app).upload(bytes);
    const range = async (value: string, headers = {}) => get(`/artifacts/${digest}`, { range: value, ...headers });
    const middle = await range('bytes=100-199');
    expect(middle.status).toBe(206);
    expect(middle.headers.get('content-range')).toBe('bytes 100-199/10000');
    expect(Buffer.from(await middle.arrayBuffer())).toEqual(bytes.subarray(100, 200));
    expect(Buffer.from(await (await range('bytes=9990-')).arrayBuffer())).toEqual(bytes.subarray(9_990));
    expect(Buffer.from(await (await range('bytes=-5')).arrayBuffer())).toEqual(bytes.subarray(9_995));
    const beyond = await range('bytes=10000-');
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */10000']);
    expect((await range('bytes=0-9', { 'if-range': `"${digest}"` })).status).toBe(206);
    expect((await range('bytes=0-9', { 'if-range': '"another"' })).status).toBe(200);
    expect((await get(`/artifacts/${digest}`, { 'if-none-match': `"${digest}"` })).status).toBe(304);
  });

  it('that are too large are refused and leave nothing behind', async () => {
    const bytes = randomBytes(2 ** 20 + 1);
    const { status, body } = await modelsOf(app).send(bytes);
    expect([status, (body as { code: string }).code]).toEqual([413, 'payload-too-large']);
    expect((await get(`/artifacts/${sha256(bytes)}`)).status).toBe(404);
  });

  it('that are no artifact have clear errors', async () => {
    expect((await get('/artifacts/nonsense')).status).toBe(400);
    expect((await get(`/artifacts/${'0'.repeat(64)}`)).status).toBe(404);
    const json = await modelsOf(app).send('{}', 'application/json');
    expect(json.status).toBe(415);
  });

  it('of one fleet are not those of another', async () => {
    const { digest } = await modelsOf(app).upload('mine');
    expect((await get(`/artifacts/${digest}`, { 'drover-fleet': 'other' })).status).toBe(404);
    const list = await app.request('GET', '/artifacts', undefined, { fleet: 'other' });
    expect(list.body.items).toEqual([]);
  });
});

const url = (): string => app.controlPlane.listeners['device-https']!;
const fetchAs = (who: Enrolled | undefined, digest: string, headers = {}) =>
  call(url(), 'GET', `/artifacts/${digest}`, undefined, { credentials: who?.credentials, headers });

describe('artifacts for devices over HTTPS', () => {
  it('are those that its desired state names: the manifest and every variant', async () => {
    for (const digest of [release.manifestDigest!, ...release.variants.map((variant) => variant.digest)]) {
      const answer = await fetchAs(device, digest);
      expect(answer.status).toBe(200);
      expect(answer.headers.etag).toBe(`"${digest}"`);
    }
    const part = await fetchAs(device, release.manifestDigest!, { range: 'bytes=0-9' });
    expect([part.status, part.text.length]).toEqual([206, 10]);
  });

  it('are not those of a variant that the compression contract refuses', async () => {
    const [refused, offered] = release.variants;
    const { pool } = app.controlPlane.app.get(Database);
    const offer = (wanted: boolean) =>
      pool.query('UPDATE variants SET offered = $2 WHERE release_id = $1 AND name = $3', [
        release.id,
        wanted,
        refused!.name,
      ]);
    const late = await enrolmentOf(app).newDevice();
    await desire(late.device, release);
    await offer(false);
    expect((await fetchAs(late, refused!.digest)).status).toBe(404);
    expect((await fetchAs(late, offered!.digest)).status).toBe(200);
    await offer(true);
  });

  it('are nothing else: not the training data, not what another device is to run, not without a certificate', async () => {
    const { digest } = await modelsOf(app).upload('secret recording');
    expect((await fetchAs(device, digest)).status).toBe(404);
    expect((await fetchAs(other, release.variants[0]!.digest)).status).toBe(404);
    expect((await fetchAs(undefined, release.variants[0]!.digest)).status).toBe(401);
    expect((await fetchAs(device, '..%2f..%2fmaster-key')).status).toBe(404);
  });
});

async function connected(who: Enrolled): Promise<MqttClient> {
  const client = connect(app.controlPlane.listeners['device-mqtt']!, {
    clientId: who.device,
    ...who.credentials,
    rejectUnauthorized: false,
    protocolVersion: 4,
  });
  await new Promise<void>((resolve, reject) => client.once('connect', () => resolve()).once('error', reject));
  await client.subscribeAsync(deviceTopics('default', who.device).allChunks, { qos: 0 });
  return client;
}

async function chunk(client: MqttClient, who: Enrolled, digest: string, offset: number, length: number) {
  const topics = deviceTopics('default', who.device);
  const answer = new Promise<Buffer>((resolve) =>
    client.once('message', (topic, payload) => {
      expect(topic).toBe(topics.chunk(digest, offset));
      resolve(payload);
    }),
  );
  await client.publishAsync(topics.get('chunk'), JSON.stringify({ digest, offset, length }), { qos: 0 });
  return answer;
}

describe('artifacts for devices over MQTT', () => {
  it('come in chunks that add up to their digest', async () => {
    const client = await connected(device);
    const { digest, sizeBytes } = release.variants[0]!;
    const parts: Buffer[] = [];
    for (let offset = 0; offset < sizeBytes; offset += 1_000)
      parts.push(await chunk(client, device, digest, offset, 1_000));
    expect(sha256(Buffer.concat(parts))).toBe(digest);
    expect((await chunk(client, device, digest, sizeBytes + 5, 10)).length).toBe(0);
    await client.endAsync();
  });

  it('are empty where the device may not have them', async () => {
    const client = await connected(other);
    expect((await chunk(client, other, release.variants[0]!.digest, 0, 100)).length).toBe(0);
    await client.endAsync();
  });

  it('are not found by malformed requests, and the connection stays', async () => {
    const client = await connected(device);
    const topics = deviceTopics('default', device.device);
    for (const payload of ['{', '{}', JSON.stringify({ digest: '../x', offset: -1, length: 1 })])
      await client.publishAsync(topics.get('chunk'), payload, { qos: 0 });
    expect((await chunk(client, device, release.manifestDigest!, 0, 10)).length).toBe(10);
    await client.endAsync();
  });
});
