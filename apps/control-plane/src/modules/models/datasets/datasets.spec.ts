import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { api } from '@drover/contracts';
import type { Dataset } from '@drover/contracts';
import { bundledRecordings } from '@drover/recordings';
import { eventually } from '../../../platform/broker/eventually.fixture.ts';
import { Database } from '../../../platform/database/database.ts';
import { testApp } from '../../../test-app.fixture.ts';
import type { TestApp } from '../../../test-app.fixture.ts';
import { modelsOf } from '../models.fixture.ts';

// Builds run in threads of their own, beside whatever else the machine does.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let app: TestApp;
let models: ReturnType<typeof modelsOf>;
beforeAll(async () => {
  app = await testApp({ DROVER_RECONCILE_EVERY: '300ms' });
  models = modelsOf(app);
  await app.request('POST', '/fleets', { id: 'other', name: 'Other' });
});
afterAll(() => app.stop());

async function validated(id: string): Promise<Dataset> {
  return eventually(async () => {
    const dataset = api.datasets.get.response.parse((await app.request('GET', `/datasets/${id}`)).body);
    expect(dataset.status).not.toBe('VALIDATING');
    return dataset;
  }, 100_000);
}

async function made(files: Readonly<Record<string, string | Buffer>>, options: object = {}): Promise<Dataset> {
  const artifacts = await Promise.all(
    Object.entries(files).map(async ([name, bytes]) => ({ name, artifact: (await models.upload(bytes)).digest })),
  );
  const { status, body } = await app.request('POST', '/datasets', { name: 'Some', files: artifacts, options });
  expect(status, JSON.stringify(body)).toBe(202);
  expect(body).toMatchObject({ status: 'VALIDATING', capture: null, report: null });
  return validated(body.id);
}

const rows = (count: number, row: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => `${new Date(1_767_225_600_000 + i * 1_000).toISOString()};${row(i)}`).join(
    '\n',
  );
const eventTypes = async (subject: string): Promise<string[]> =>
  (await app.controlPlane.app.get(Database).prisma.event.findMany({ where: { subject }, orderBy: { id: 'asc' } })).map(
    ({ type }) => type,
  );

describe('a dataset', () => {
  it('of good files becomes READY and says what is in it', async () => {
    const content = `time;a;b;anomaly\n${rows(500, (i) => `${Math.sin(i)};${i % 7};${i < 50 ? 1 : 0}`)}\n`;
    const dataset = await made({ 'one.csv': content });
    expect(dataset).toMatchObject({ status: 'READY', error: null });
    const { report } = dataset;
    expect(report).toMatchObject({ rows: 500, files: [{ name: 'one.csv', rows: 500, labels: ['anomaly'] }] });
    expect(report!.files[0]!.channels.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(report!.files[0]!.labelShare).toBeCloseTo(0.1);
    expect(report!.files[0]!.rateHz).toBeCloseTo(1);
    expect(await eventTypes(dataset.id)).toEqual(['dataset.created', 'dataset.ready']);
    const listed = (await app.request('GET', '/datasets?status=READY')).body.items as Dataset[];
    expect(listed.map(({ id }) => id)).toContain(dataset.id);
  });

  it('that cannot be trained on is INVALID and says why', async () => {
    const dataset = await made({ 'good.csv': `time;a\n${rows(50, String)}\n`, 'bad.csv': 'no;numbers\nhere;at all\n' });
    expect(dataset.status).toBe('INVALID');
    expect(dataset.error).toEqual({ code: 'dataset-invalid', message: expect.stringContaining('bad.csv') });
    expect(dataset.error!.message).not.toContain(app.dataDir);
    expect(dataset.report!.problems.some(({ file, severity }) => file === 'bad.csv' && severity === 'error')).toBe(
      true,
    );
    expect(await eventTypes(dataset.id)).toEqual(['dataset.created', 'dataset.invalid']);
  });

  it('is read as its options say', async () => {
    const dataset = await made({ 'a.csv': `x|y\n${'1|2\n'.repeat(100)}3|4\n` }, { delimiter: '|', rateHz: 10 });
    expect(dataset.report!.files[0]).toMatchObject({ rows: 101, rateHz: 10 });
  });

  it('is refused where an artifact is not there or two files have one name', async () => {
    const { digest } = await models.upload('a,b\n');
    const files = [
      { name: 'a', artifact: digest },
      { name: 'a', artifact: 'ab'.repeat(32) },
    ];
    const { status, body } = await app.request('POST', '/datasets', { name: 'x', files });
    expect(status).toBe(400);
    expect(body.problems.map(({ path }: { path: string }) => path)).toEqual(['files.1.artifact', 'files.1.name']);
    // What another fleet has is not there.
    const foreign = await app.request('POST', '/datasets', { name: 'x', files: files.slice(0, 1) }, { fleet: 'other' });
    expect(foreign.status).toBe(400);
  });

  it('whose job was lost is found by its row', async () => {
    const { digest } = await models.upload(`time;a\n${rows(60, String)}\n`);
    await app.controlPlane.app.get(Database).prisma.dataset.create({
      data: { fleetId: 'default', id: 'dat_lost', name: 'Lost', files: [{ name: 'a', artifact: digest }] },
    });
    expect((await validated('dat_lost')).status).toBe('READY');
  });
});

describe('training on datasets', () => {
  it('learns from their files and measures on others; they stay until it has ended', async () => {
    const { normal, faults } = bundledRecordings();
    const { readFile } = await import('node:fs/promises');
    const training = await made({ 'normal.csv': await readFile(normal) });
    const labelled = await made({ 'faults.csv': await readFile(faults[0]!) });
    await models.model('pump');
    const source = { kind: 'datasets', datasets: [training.id] };
    const evaluation = { datasets: [labelled.id] };
    const { status, body } = await models.create('pump', { source }, { evaluation, variants: ['fp32'] });
    expect(status, JSON.stringify(body)).toBe(202);
    expect((await app.request('DELETE', `/datasets/${training.id}`)).status).toBe(409);
    const build = await models.ended(body.id, 100_000);
    expect(build).toMatchObject({ status: 'SUCCEEDED', error: null });
    const card = (await app.request('GET', `/releases/${build.release}/card`)).body;
    expect(card.data.trainedOn).toEqual([expect.objectContaining({ name: 'normal.csv' })]);
    expect(card.data.evaluatedOn).toEqual([expect.objectContaining({ name: 'faults.csv' })]);
    expect((await app.request('DELETE', `/datasets/${training.id}`)).status).toBe(204);
    expect((await app.request('GET', `/datasets/${training.id}`)).status).toBe(404);
    expect((await app.request('GET', `/releases/${build.release}`)).body.status).toBe('READY');
    expect(await eventTypes(training.id)).toContain('dataset.deleted');
  });

  it('is refused, naming it, where one is not READY, unknown, or would be measured on, too', async () => {
    const good = await made({ 'a.csv': `time;a;b\n${rows(500, (i) => `${i % 5};${i % 3}`)}\n` });
    const bad = await made({ 'b.csv': 'x\n' });
    const source = { kind: 'datasets', datasets: [bad.id, 'dat_none', good.id] };
    const { status, body } = await models.create('pump', { source }, { evaluation: { datasets: [good.id] } });
    expect(status).toBe(400);
    expect(body.problems).toEqual([
      { path: 'training.source.datasets.0', message: expect.stringContaining('INVALID') },
      { path: 'training.source.datasets.1', message: expect.stringContaining('no dataset') },
      { path: 'evaluation.datasets.0', message: expect.stringContaining('trained on') },
    ]);
  });
});
