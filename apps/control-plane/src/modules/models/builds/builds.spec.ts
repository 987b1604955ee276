import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { api, buildRequestSchema, manifestSchema } from '@drover/contracts';
import type { Build, Release } from '@drover/contracts';
import { decodeModel } from '@drover/onnx';
import { bundledRecordings } from '@drover/recordings';
import { verifyDocument, verifyKeySet } from '@drover/trust';
import { Database } from '../../../platform/database/database.ts';
import { KeyStore } from '../../../platform/keys/key-store.ts';
import { ArtifactStore } from '../../../platform/storage/artifact-store.ts';
import { testApp } from '../../../test-app.fixture.ts';
import type { TestApp } from '../../../test-app.fixture.ts';
import { modelsOf } from '../models.fixture.ts';

// Builds run in threads of their own, beside whatever else the machine does.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let app: TestApp;
let models: ReturnType<typeof modelsOf>;
let built: Release;
beforeAll(async () => {
  app = await testApp({ DROVER_RECONCILE_EVERY: '300ms' });
  models = modelsOf(app);
  built = await models.bundled('pump');
});
afterAll(() => app.stop());

const part = <T>(type: new (...args: never[]) => T): T => app.controlPlane.app.get(type);

describe('a release built from recordings', () => {
  it('is READY with fp32 and int8, each with its quality', () => {
    expect(built).toMatchObject({
      model: 'pump',
      version: 1,
      status: 'READY',
      family: 'pca',
      build: expect.stringMatching(/^bld_/),
    });
    expect(built.variants.map((variant) => variant.name).toSorted()).toEqual(['fp32', 'int8']);
    for (const { metrics, sizeBytes, policy } of built.variants) {
      expect(metrics.f1).toBeGreaterThan(0.5);
      expect(sizeBytes).toBeGreaterThan(500);
      expect(policy).toMatchObject({ kind: 'threshold', threshold: expect.any(Number) });
    }
  });

  it('has a manifest that the key set vouches for, under its own digest', async () => {
    const keys = part(KeyStore);
    const bytes = await part(ArtifactStore).read(built.manifestDigest!);
    const document: unknown = JSON.parse(bytes.toString('utf8'));
    const keySet = verifyKeySet(keys.keySet, keys.rootPublicKey, 0);
    const manifest = manifestSchema.parse(verifyDocument('manifest', document, { keySet, now: Date.now() }));
    expect(manifest).toMatchObject({ fleet: 'default', model: { id: 'pump' }, release: { id: built.id, version: 1 } });
    expect((await app.request('GET', `/releases/${built.id}/manifest`)).body).toEqual(document);
  });

  it('has models that are stored under their digests, of the size that is told, and can be decoded', async () => {
    for (const { digest, sizeBytes } of built.variants) {
      const bytes = await part(ArtifactStore).read(digest);
      expect(bytes.length).toBe(sizeBytes);
      expect(() => decodeModel(bytes)).not.toThrow();
      expect(
        (await app.request('GET', `/artifacts`)).body.items.map((item: { digest: string }) => item.digest),
      ).toContain(digest);
    }
  });

  it('is told of by events, in order', async () => {
    const typesOf = async (subject: string): Promise<string[]> => {
      const rows = await part(Database).prisma.event.findMany({ where: { subject }, orderBy: { id: 'asc' } });
      return rows.map((row) => row.type).filter((type) => type !== 'build.progress');
    };
    expect(await typesOf(built.id)).toEqual(['release.created', 'release.ready']);
    expect(await typesOf(built.build!)).toEqual(['build.created', 'build.started', 'build.succeeded']);
  });

  it('gets the next version, also when several are asked for at once', async () => {
    const { digest } = await models.uploadFile(bundledRecordings().normal);
    await models.model('many');
    const training = { source: { kind: 'recordings', artifacts: [digest] }, trainRows: 300 };
    const made = await Promise.all([1, 2, 3].map(() => models.create('many', training, { variants: ['fp32'] })));
    const releases = await Promise.all(made.map(({ body }) => models.get(body.release)));
    expect(releases.map(({ version }) => version).toSorted()).toEqual([1, 2, 3]);
    for (const { body } of made) expect((await models.ended(body.id)).status).toBe('SUCCEEDED');
  });
});

describe('what is told of a release', () => {
  it('is its card, as JSON and as Markdown', async () => {
    const card = api.releases.card.response.parse((await app.request('GET', `/releases/${built.id}/card`)).body);
    expect(card).toMatchObject({
      model: { id: 'pump', name: 'pump' },
      release: { id: built.id, version: 1 },
      family: 'pca',
      data: { trainedOn: [{ rows: expect.any(Number) }] },
    });
    const response = await fetch(`${app.url}/api/v1/releases/${built.id}/card.md`, {
      headers: { authorization: `Bearer ${app.adminKey}` },
    });
    expect(response.headers.get('content-type')).toContain('text/markdown');
    const text = await response.text();
    expect(text).toMatch(/^# /);
    for (const { name } of card.variants) expect(text).toContain(name);
  });

  it('is every variant with what it costs, and what its tiers chose', async () => {
    const { items } = (await app.request('GET', `/releases/${built.id}/variants`)).body;
    expect(items).toEqual(built.variants);
    for (const { cost, offered, refusals } of built.variants) {
      expect(cost!.parameters).toBeGreaterThan(0);
      expect({ offered, refusals }).toEqual({ offered: true, refusals: [] });
    }
    expect((await app.request('GET', `/releases/${built.id}/choices`)).body).toEqual({ items: [] });
    expect((await app.request('GET', '/releases/rel_none/variants')).status).toBe(404);
  });
});

describe('a variant that breaks the compression contract', () => {
  it('is kept with what it breaks, but is not in the manifest', async () => {
    const source = { kind: 'recordings', artifacts: [(await models.uploadFile(bundledRecordings().normal)).digest] };
    const contract = {
      'int8-dynamic': { maxVusPrLoss: 0, minAgreement: 1 },
      int4: { maxVusPrLoss: 0, minAgreement: 1 },
    };
    const options = { epochs: 3, hidden: [64, 4, 64] };
    const { body } = await models.create(
      'pump',
      { family: 'dense-ae', options, source, trainRows: 700 },
      { contract, variants: ['fp32', 'int4', 'int8-dynamic'] },
    );
    const build = await models.ended(body.id, 100_000);
    expect(build).toMatchObject({ status: 'SUCCEEDED', error: null });
    const release = await models.get(build.release);
    const refused = release.variants.filter(({ offered }) => !offered);
    expect(refused.length).toBeGreaterThan(0);
    for (const { refusals, digest } of refused) {
      expect(refusals[0]).toMatchObject({ rule: expect.any(String), message: expect.stringMatching(/./) });
      expect((await part(ArtifactStore).read(digest)).length).toBeGreaterThan(0);
    }
    const { payload } = (await app.request('GET', `/releases/${release.id}/manifest`)).body;
    const offered = (payload.variants as { name: string }[]).map(({ name }) => name);
    expect(offered).toContain('fp32');
    for (const { name } of refused) expect(offered).not.toContain(name);
    const ready = await part(Database).prisma.event.findFirstOrThrow({
      where: { subject: release.id, type: 'release.ready' },
    });
    expect(ready.data).toMatchObject({ refused: refused.map(({ name }) => name) });
  });
});

describe('a graph that was brought along', () => {
  it('becomes a release like one that was trained here', async () => {
    const { payload } = (await app.request('GET', `/releases/${built.id}/manifest`)).body;
    const artifact = built.variants.find(({ name }) => name === 'fp32')!.digest;
    const { digest } = await models.uploadFile(bundledRecordings().normal);
    const { signature } = payload;
    const calibration = { kind: 'recordings', artifacts: [digest] };
    const body = { model: 'pump', import: { artifact, signature, calibration }, variants: ['fp32', 'int8'] };
    const created = await app.request('POST', '/builds', body);
    expect(created.status, JSON.stringify(created.body)).toBe(202);
    const build = await models.ended(created.body.id, 100_000);
    expect(build).toMatchObject({ status: 'SUCCEEDED', error: null });
    const release = await models.get(build.release);
    expect(release).toMatchObject({ status: 'READY', family: 'imported' });
    expect(release.variants.map(({ name }) => name)).toContain('fp32');
  });

  it('that is no model has FAILED and says so; an artifact that is not there is refused', async () => {
    const { payload } = (await app.request('GET', `/releases/${built.id}/manifest`)).body;
    const { digest } = await models.upload('this is no ONNX file');
    const importing = (artifact: string) =>
      app.request('POST', '/builds', { model: 'pump', import: { artifact, signature: payload.signature } });
    const build = await models.ended((await importing(digest)).body.id, 100_000);
    expect(build).toMatchObject({ status: 'FAILED', attempts: 1, error: { code: 'malformed-model' } });
    expect((await importing('ab'.repeat(32))).body.problems).toEqual([
      { path: 'import.artifact', message: expect.stringContaining('no such artifact') },
    ]);
  });

  it('and training at once, or neither, is refused', async () => {
    expect((await app.request('POST', '/builds', { model: 'pump' })).status).toBe(400);
  });
});

async function failure(content: string, options: object = {}): Promise<Build> {
  const { digest } = await models.upload(content);
  await app.request('POST', '/models', { id: 'bad', name: 'bad' });
  const { body } = await models.create('bad', { source: { kind: 'recordings', artifacts: [digest] }, ...options });
  return models.ended(body.id);
}

describe('a release that cannot be built', () => {
  it.each([
    ['is no CSV', '\u0000\u0001\u0002', 'invalid-recording', /not a text file/],
    ['is empty', '\n', 'invalid-recording', /empty/],
    ['has a cell that is no number', table(`${'1,2\n'.repeat(99)}3,x`), 'invalid-cell', /Row 100, column "b"/],
    ['is too short', table('1,2\n2,3'), 'not-enough-data', /./],
  ])('because its recording %s is FAILED and says so', async (_, content, code, message) => {
    const build = await failure(content);
    expect(build).toMatchObject({ status: 'FAILED', attempts: 1 });
    expect(build.error).toEqual({ code, message: expect.stringMatching(message) });
    expect(build.error!.message).not.toContain(app.dataDir);
    expect(await models.get(build.release)).toMatchObject({ status: 'FAILED', variants: [] });
  });

  it('because its recordings have different channels is FAILED', async () => {
    const pump = await models.uploadFile(bundledRecordings().normal);
    const other = await models.upload(table(Array.from({ length: 400 }, (_, i) => `${i},${i % 7}`).join('\n')));
    const { body } = await models.create('bad', {
      source: { kind: 'recordings', artifacts: [pump.digest, other.digest] },
    });
    expect((await models.ended(body.id)).error?.code).toBe('inconsistent-recording');
  });

  it('is refused at once where recordings are missing or would be measured on what was trained on', async () => {
    const { digest } = await models.uploadFile(bundledRecordings().normal);
    const unknown = 'ab'.repeat(32);
    const source = { kind: 'recordings', artifacts: [unknown, digest] };
    const evaluation = { artifacts: [digest, unknown] };
    const { status, body } = await models.create('pump', { source }, { evaluation });
    expect(status).toBe(400);
    expect(body.problems.map((problem: { path: string }) => problem.path)).toEqual([
      'training.source.artifacts.0',
      'evaluation.artifacts.0',
      'evaluation.artifacts.1',
    ]);
    expect((await models.create('nothing', { source })).status).toBe(404);
  });

  it('has no manifest', async () => {
    const { release } = await failure(table('1,2'));
    expect((await app.request('GET', `/releases/${release}/manifest`)).status).toBe(409);
    expect((await app.request('GET', `/releases/${release}/card`)).status).toBe(409);
  });
});

describe('a build whose job was lost', () => {
  it('is found by its row and built', async () => {
    const { digest } = await models.uploadFile(bundledRecordings().normal);
    const request = buildRequestSchema.parse({
      model: 'pump',
      training: { family: 'pca', source: { kind: 'recordings', artifacts: [digest] } },
    });
    const fleetId = 'default';
    await part(Database).prisma.release.create({
      data: { fleetId, id: 'rel_lost', modelId: 'pump', version: 99, family: 'pca' },
    });
    await part(Database).prisma.build.create({
      data: { fleetId, id: 'bld_lost', releaseId: 'rel_lost', modelId: 'pump', request: request as object },
    });
    expect((await models.ended('bld_lost')).status).toBe('SUCCEEDED');
  });
});

describe('training from measurements', () => {
  it('fails clearly where the device has none', async () => {
    const source = { kind: 'measurements', device: 'dev_none', stream: 'pump' };
    const { body } = await models.create('pump', { source });
    const build = await models.ended(body.id);
    expect(build).toMatchObject({ status: 'FAILED', error: { code: 'not-found' } });
  });
});

/** A recording with the channels a and b, one row per second. */
function table(rows: string): string {
  const lines = rows
    .split('\n')
    .map(
      (row, i) =>
        `2026-01-01 00:${String(Math.floor(i / 60) % 60).padStart(2, '0')}:${String(i % 60).padStart(2, '0')},${row}`,
    );
  return `datetime,a,b\n${lines.join('\n')}\n`;
}
