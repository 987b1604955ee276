import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Build } from '@drover/contracts';
import { bundledRecordings } from '@drover/recordings';
import { silentLogger } from '@drover/runtime';
import { ControlPlane } from '../../../control-plane.ts';
import { eventually } from '../../../platform/broker/eventually.fixture.ts';
import { Database } from '../../../platform/database/database.ts';
import { testApp } from '../../../test-app.fixture.ts';
import type { TestApp } from '../../../test-app.fixture.ts';
import { modelsOf } from '../models.fixture.ts';
import { BuildRepository } from './build.repository.ts';
import { BuildService } from './build.service.ts';

/** What builds survive: cancellations, lost workers, limits. */

// Builds run in threads of their own, beside whatever else the machine does.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let app: TestApp;
let models: ReturnType<typeof modelsOf>;
let recording: string;
beforeAll(async () => {
  app = await testApp({ DROVER_RECONCILE_EVERY: '300ms' });
  models = modelsOf(app);
  recording = (await models.uploadFile(bundledRecordings().normal)).digest;
  await models.model('pump');
});
afterEach(async () => {
  // What a failed test left running would hold up the others.
  const { body } = await app.request('GET', '/builds');
  for (const { id, status } of body.items as Build[]) if (status === 'QUEUED' || status === 'RUNNING') await cancel(id);
});
afterAll(() => app.stop());

const part = <T>(type: new (...args: never[]) => T): T => app.controlPlane.app.get(type);

/** Trains for hours, if nobody ends it. */
const endless = () => ({
  family: 'dense-ae',
  options: { epochs: 10_000, patience: 10_000, hidden: [512, 512] },
  source: { kind: 'recordings', artifacts: [recording] },
});

async function start(training: object): Promise<Build> {
  const { status, body } = await models.create('pump', training, { variants: ['fp32'] });
  expect(status, JSON.stringify(body)).toBe(202);
  return body as Build;
}

const isTraining = ({ status, phase }: Build): boolean => status === 'RUNNING' && phase === 'training';
const eventsOf = (subject: string) =>
  part(Database).prisma.event.findMany({ where: { subject }, orderBy: { id: 'asc' } });
const cancel = (id: string) => app.request('POST', `/builds/${id}/cancel`);

/** Nothing else runs after it: the one place for builds is free. */
async function expectFree(): Promise<void> {
  const { id } = await start({ source: { kind: 'recordings', artifacts: [recording] } });
  expect((await models.ended(id, 100_000)).status).toBe('SUCCEEDED');
}

describe('a build that is cancelled', () => {
  it('while it trains is ended with its release, tells how far it was, and makes room for the next', async () => {
    const { id, release } = await start(endless());
    const running = await models.buildIs(id, (build) => isTraining(build) && build.loss !== null, 100_000);
    expect(running).toMatchObject({ attempts: 1, startedAt: expect.any(String), endedAt: null });
    expect(running.progress).toBeGreaterThan(0);
    expect((await cancel(id)).body).toMatchObject({ status: 'CANCELED', phase: 'canceled' });
    expect(await models.get(release)).toMatchObject({ status: 'CANCELED', variants: [] });
    expect((await cancel(id)).status).toBe(200);
    const types = (await eventsOf(id)).map(({ type }) => type);
    expect(types.filter((type) => type === 'build.canceled')).toHaveLength(1);
    expect(types).toContain('build.progress');
    expect((await eventsOf(release)).map(({ type }) => type)).toEqual(['release.created', 'release.canceled']);
    await expectFree();
  });

  it('before it has begun never begins', async () => {
    const first = await start(endless());
    await models.buildIs(first.id, ({ status }) => status === 'RUNNING', 100_000);
    const second = await start(endless());
    await cancel(second.id);
    await cancel(first.id);
    await expectFree();
    expect(await models.build(second.id)).toMatchObject({ status: 'CANCELED', attempts: 0, startedAt: null });
  });

  it('when it has ended is a conflict', async () => {
    const { id } = await start({ source: { kind: 'recordings', artifacts: [recording] } });
    await models.ended(id, 100_000);
    expect(await cancel(id)).toMatchObject({ status: 409, body: { code: 'conflict' } });
    expect((await cancel('bld_none')).status).toBe(404);
  });
});

describe('a build whose worker was lost', () => {
  /** As a worker leaves it that was killed while it worked on it. */
  const abandon = (id: string, attempts: number) =>
    part(Database).pool.query(
      `UPDATE builds SET status = 'RUNNING', attempts = $2, lease_holder = 'dead', lease_until = now() - interval '1 s' WHERE id = $1`,
      [id, attempts],
    );
  const waiting = async (): Promise<string> => {
    const holding = await start(endless());
    await models.buildIs(holding.id, ({ status }) => status === 'RUNNING', 100_000);
    const { id } = await start({ source: { kind: 'recordings', artifacts: [recording] } });
    return id;
  };
  const cancelRunning = async (): Promise<void> => {
    const { body } = await app.request('GET', '/builds?status=RUNNING');
    for (const { id, request } of body.items as Build[]) if (request.training?.family === 'dense-ae') await cancel(id);
  };

  it('is started over', async () => {
    const id = await waiting();
    await abandon(id, 1);
    await cancelRunning();
    expect(await models.ended(id, 100_000)).toMatchObject({ status: 'SUCCEEDED', attempts: 2 });
  });

  it('is given up after three starts', async () => {
    const id = await waiting();
    await abandon(id, 3);
    await cancelRunning();
    const build = await models.ended(id, 100_000);
    expect(build).toMatchObject({ status: 'FAILED', error: { code: 'worker-lost' } });
    expect((await models.get(build.release)).status).toBe('FAILED');
  });

  it('is held by one run only, and what another one writes has no effect', async () => {
    const builds = part(BuildRepository);
    const { id } = await start(endless());
    await models.buildIs(id, ({ status }) => status === 'RUNNING', 100_000);
    const rival = { fleet: 'default', id, holder: 'rival' };
    expect(await part(Database).transaction((tx) => builds.take(tx, rival, 1_000))).toBeNull();
    expect(await builds.renew(rival, 1_000, { progress: 0.99, phase: 'stolen', loss: null })).toBe(false);
    const end = { status: 'SUCCEEDED' } as const;
    expect(await part(Database).transaction((tx) => builds.end(tx, 'default', id, 'rival', end))).toBe(false);
    expect((await models.build(id)).status).toBe('RUNNING');
    await cancel(id);
  });
});

describe('a build whose worker is stopped', () => {
  it('is given back, and started over by the next', async () => {
    const first = await testApp();
    const own = modelsOf(first);
    let second: ControlPlane | undefined;
    try {
      const { digest } = await own.uploadFile(bundledRecordings().normal);
      await own.model('pump');
      const source = { kind: 'recordings', artifacts: [digest] };
      const { body } = await own.create('pump', { ...endless(), source });
      await own.buildIs(body.id, isTraining, 100_000);
      await first.controlPlane.stop();
      // The same database and data folder, another process life.
      second = new ControlPlane({ config: first.config, logger: silentLogger });
      await second.start();
      const builds = second.app.get(BuildService);
      await eventually(async () => {
        const build = await builds.get('default', body.id);
        expect(build).toMatchObject({ status: 'RUNNING', phase: 'training', attempts: 2, error: null });
      }, 100_000);
      await builds.cancel('default', body.id);
    } finally {
      await second?.stop();
      await first.stop();
    }
  });
});

describe('the limits of a build', () => {
  const limited = async (env: Record<string, string>, options: object): Promise<Build> => {
    const other = await testApp(env);
    try {
      const own = modelsOf(other);
      const { digest } = await own.uploadFile(bundledRecordings().normal);
      await own.model('pump');
      const source = { kind: 'recordings', artifacts: [digest] };
      const { body } = await own.create('pump', {
        ...endless(),
        options: { ...endless().options, ...options },
        source,
      });
      return await own.ended(body.id, 100_000);
    } finally {
      await other.stop();
    }
  };

  it('end one that takes too long as FAILED, at once', async () => {
    expect(await limited({ DROVER_BUILD_TIMEOUT: '2s' }, {})).toMatchObject({
      status: 'FAILED',
      attempts: 1,
      error: { code: 'build-timed-out', message: expect.stringContaining('DROVER_BUILD_TIMEOUT') },
    });
  });

  it('end one that needs too much memory as FAILED, at once', async () => {
    expect(await limited({ DROVER_BUILD_MEMORY: '192MiB' }, { hidden: [8_000, 8_000] })).toMatchObject({
      status: 'FAILED',
      attempts: 1,
      error: { code: 'out-of-memory', message: expect.stringContaining('201326592 bytes') },
    });
  });
});
