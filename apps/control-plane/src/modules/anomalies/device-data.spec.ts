import { anomalyResourceSchema, measurementsSchema } from '@drover/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeviceGateway } from '../../platform/broker/device-gateway.ts';
import { Database } from '../../platform/database/database.ts';
import { testApp } from '../../test-app.fixture.ts';
import type { TestApp } from '../../test-app.fixture.ts';
import { addDevices, deviceMessage } from '../telemetry/ingest/test-ingest.fixture.ts';

const T0 = Date.UTC(2026, 10, 5);
const ANOMALY = {
  id: 'an-1',
  revision: 1,
  pipeline: 'pump',
  state: 'open',
  startedAt: T0,
  endedAt: null,
  peakAt: T0,
  peakScore: 3,
  threshold: 1,
  windows: 2,
  contributions: [],
  release: 'rel-1',
  variant: 'int8',
  variantDigest: 'a'.repeat(64),
  provider: 'cpu',
  calibrationVersion: null,
  rollout: null,
};

describe('what a device has sent', () => {
  let app: TestApp;

  beforeAll(async () => {
    app = await testApp();
    await addDevices(app.controlPlane.app.get(Database), 'dev-a');
    const gateway = app.controlPlane.app.get(DeviceGateway);
    const columns = [Array.from({ length: 120 }, (_, i) => i), Array.from({ length: 120 }, () => null)];
    await Promise.all([
      gateway.handle(
        deviceMessage('dev-a', 'm/pump', {
          bootId: 'b',
          class: 'm',
          seq: 1,
          t0: T0,
          dt: 1_000,
          channels: ['a', 'b'],
          columns,
        }),
      ),
      gateway.handle(deviceMessage('dev-a', 'e/anomaly', { bootId: 'b', class: 'e', seq: 1, anomaly: ANOMALY })),
      gateway.handle(deviceMessage('dev-a', 'e/log', { bootId: 'b', class: 'e', seq: 2, log: { level: 'shout' } })),
    ]);
  });
  afterAll(() => app.stop());

  it('is in the API: streams, samples, summaries and anomalies', async () => {
    const streams = await app.request('GET', '/devices/dev-a/streams');
    expect(streams.body.items).toEqual([
      {
        name: 'pump',
        channels: ['a', 'b'],
        firstAt: new Date(T0).toISOString(),
        lastAt: new Date(T0 + 119_000).toISOString(),
      },
    ]);
    const raw = await app.request('GET', '/devices/dev-a/measurements?stream=pump&limit=50');
    expect(measurementsSchema.parse(raw.body).rows).toHaveLength(50);
    const next = await app.request(
      'GET',
      `/devices/dev-a/measurements?stream=pump&limit=100&cursor=${raw.body.nextCursor}`,
    );
    expect(next.body).toMatchObject({ nextCursor: null });
    expect(next.body.rows[0].values).toEqual([50, null]);
    const steps = await app.request('GET', '/devices/dev-a/measurements?stream=pump&step=60&channels=a');
    expect(steps.body.rows).toEqual([
      { at: new Date(T0).toISOString(), count: [60], min: [0], max: [59], mean: [29.5] },
      { at: new Date(T0 + 60_000).toISOString(), count: [60], min: [60], max: [119], mean: [89.5] },
    ]);
    for (const path of ['/anomalies?state=open', '/devices/dev-a/anomalies']) {
      const anomalies = await app.request('GET', path);
      expect(anomalyResourceSchema.parse(anomalies.body.items[0])).toMatchObject(ANOMALY);
    }
    expect((await app.request('GET', '/devices/dev-a/anomalies/an-1')).body).toMatchObject(ANOMALY);
  });

  it('is counted in the metrics, and set aside where it was invalid', async () => {
    const rejects = await app.request('GET', '/rejects?device=dev-a');
    expect(rejects.body.items).toMatchObject([{ code: 'invalid-message', topic: 'drover/v1/default/dev-a/e/log' }]);
    const metrics = await (await fetch(`${app.url}/metrics`)).text();
    expect(metrics).toMatch(/^drover_ingest_samples_total 120$/m);
    expect(metrics).toMatch(/^drover_ingest_messages_total\{kind="event"\} 1$/m);
  });

  it.each([
    ['/devices/dev-x/measurements?stream=pump', 404, 'not-found'],
    ['/devices/dev-a/measurements?stream=other', 404, 'not-found'],
    ['/devices/dev-a/measurements', 400, 'invalid-input'],
    ['/devices/dev-a/measurements?stream=pump&step=0', 400, 'invalid-input'],
    ['/devices/dev-a/measurements?stream=pump&channels=z', 400, 'invalid-input'],
    ['/devices/dev-a/measurements?stream=pump&cursor=WyJ4Il0', 400, 'invalid-input'],
    ['/devices/dev-x/streams', 404, 'not-found'],
    ['/devices/%00/streams', 400, 'invalid-input'],
    ['/devices/dev-a/anomalies/none', 404, 'not-found'],
    ['/anomalies?sort=windows', 400, 'invalid-input'],
    ['/anomalies?cursor=abc', 400, 'invalid-input'],
  ])('is asked for wrongly with %s: %i %s', async (path, status, code) => {
    const answer = await app.request('GET', path);
    expect({ status: answer.status, code: answer.body.code }).toEqual({ status, code });
  });
});
