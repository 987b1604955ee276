import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Execution } from '@drover/contracts';
import { testDatabase } from '../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../platform/database/test-database.fixture.ts';
import { rolloutsOn } from './rollouts.fixture.ts';
import type { RolloutsBench } from './rollouts.fixture.ts';

let server: TestDatabase;
let bench: RolloutsBench;
beforeAll(async () => {
  server = await testDatabase();
  bench = await rolloutsOn(server);
});
afterAll(async () => {
  await bench.stop();
  await server.stop();
});

const halves = [
  { kind: 'percent', percent: 50 },
  { kind: 'percent', percent: 50 },
] as const;

/** A rollout to new devices, dispatched as far as its first wave. */
async function dispatched(
  count: number,
  options: Partial<Parameters<RolloutsBench['create']>[0]> = {},
): Promise<{ id: string; release: string; devices: string[]; executions: Execution[] }> {
  const release = options.release ?? (await bench.release());
  const devices = options.devices ?? (await bench.many(count));
  const { id } = await bench.create({ ...options, release, devices });
  await bench.drive(id);
  return { id, release, devices, executions: await bench.executionsOf(id) };
}

async function succeed(executions: readonly Execution[]): Promise<void> {
  for (const execution of executions) await bench.report(execution, { status: 'SUCCEEDED' });
}

/** The codes that a report is refused for. */
async function refused(...args: Parameters<RolloutsBench['report']>): Promise<string[]> {
  return (await bench.report(...args)).map((refusal) => refusal.code);
}

describe('a rollout in waves', () => {
  it('gives the first wave its desired state, with the variants of the tier in its order, and tells the gateway', async () => {
    const { id, release, executions } = await dispatched(4, { waves: [...halves] });
    const [first, second, third] = executions;
    expect(executions.map((execution) => [execution.wave, execution.status])).toEqual([
      [0, 'QUEUED'],
      [0, 'QUEUED'],
      [1, 'QUEUED'],
      [1, 'QUEUED'],
    ]);
    for (const { id: execution, device } of [first!, second!]) {
      expect(await bench.desired(device)).toMatchObject({
        release,
        rollout: id,
        execution,
        candidates: ['int8', 'fp32'],
        calibration: null,
      });
      expect(await bench.notices(device)).toBe(1);
    }
    expect(await bench.desired(third!.device)).toBeUndefined();
    expect(await bench.notices(third!.device)).toBe(0);
  });

  it('begins a wave only when the one before it has ended, and ends with the last', async () => {
    const { id, executions } = await dispatched(4, { waves: [...halves] });
    await succeed(executions.slice(0, 1));
    expect((await bench.drive(id)).waves.map((wave) => wave.status)).toEqual(['RUNNING', 'PENDING']);
    await succeed(executions.slice(1, 2));
    const second = await bench.drive(id);
    expect(second.waves.map((wave) => wave.status)).toEqual(['SUCCEEDED', 'RUNNING']);
    expect(second.counts).toMatchObject({ SUCCEEDED: 2, QUEUED: 2 });
    await succeed(executions.slice(2));
    const done = await bench.drive(id);
    expect([done.status, done.counts.SUCCEEDED, done.endedAt]).toEqual(['SUCCEEDED', 4, expect.any(String)]);
    const types = (await bench.eventsOf(id)).map((event) => event.type);
    expect(types).toEqual([
      'rollout.created',
      'rollout.wave-started',
      'rollout.wave-succeeded',
      'rollout.wave-started',
      'rollout.wave-succeeded',
      'rollout.succeeded',
    ]);
  });

  it('stops before the next wave when too many fail, and takes back what is unfinished', async () => {
    const { id, executions } = await dispatched(6, { waves: [...halves], failureThresholdPercent: 34 });
    const [first, second, third, ...rest] = executions;
    await bench.report(first!, { status: 'FAILED', reason: 'golden-mismatch' });
    expect((await bench.drive(id)).status).toBe('RUNNING');
    await bench.report(second!, { status: 'REJECTED', reason: 'no-space' });
    const rollout = await bench.drive(id);
    expect(rollout.status).toBe('FAILED');
    expect(rollout.statusReason).toContain('2 of 3 did not succeed');
    expect(rollout.waves.map((wave) => wave.status)).toEqual(['FAILED', 'ABORTED']);
    expect(rollout.counts).toMatchObject({ FAILED: 1, REJECTED: 1, CANCELED: 4 });
    expect(await bench.desired(third!.device)).toBeUndefined();
    for (const { device } of rest) expect(await bench.notices(device)).toBe(0);
  });

  it('bears failures up to its threshold', async () => {
    const { id, executions } = await dispatched(4, { failureThresholdPercent: 25 });
    await bench.report(executions[0]!, { status: 'FAILED', reason: 'no-space' });
    await succeed(executions.slice(1));
    expect(await bench.drive(id)).toMatchObject({ status: 'SUCCEEDED', counts: { FAILED: 1, SUCCEEDED: 3 } });
  });

  it('decides the same when its jobs run twice, late or all at once', async () => {
    const release = await bench.release();
    const devices = await bench.many(4);
    const { id } = await bench.create({ release, devices, waves: [...halves] });
    const { signal } = new AbortController();
    await Promise.all(
      [1, 2, 3, 4].flatMap(() => [bench.engine.advance('default', id), bench.engine.dispatch('default', id, signal)]),
    );
    await bench.drive(id);
    const executions = await bench.executionsOf(id);
    for (const { device } of executions.slice(0, 2)) expect(await bench.notices(device)).toBe(1);
    for (const { device } of executions.slice(2)) expect(await bench.notices(device)).toBe(0);
    await succeed(executions.slice(0, 2));
    await Promise.all([1, 2, 3, 4].map(() => bench.drive(id)));
    for (const { device } of executions.slice(2)) expect(await bench.notices(device)).toBe(1);
    const started = (await bench.eventsOf(id)).filter((event) => event.type === 'rollout.wave-started');
    expect(started.map((event) => event.data.wave)).toEqual([0, 1]);
  });
});

describe('an execution', () => {
  it('follows its device step by step', async () => {
    const { executions } = await dispatched(1);
    const [execution] = executions;
    const variant = { variant: 'int8', variantDigest: 'ab'.repeat(32), provider: 'cpu' };
    await bench.report(execution!, { status: 'IN_PROGRESS', step: 'DOWNLOADING', progress: 0.5 });
    expect(await bench.service.getExecution('default', execution!.id)).toMatchObject({
      status: 'IN_PROGRESS',
      step: 'DOWNLOADING',
      progress: 0.5,
      variant: null,
      startedAt: expect.any(String),
      endedAt: null,
    });
    await bench.report(execution!, { status: 'IN_PROGRESS', step: 'BENCHMARKING', ...variant });
    await bench.report(execution!, { status: 'SUCCEEDED' });
    expect(await bench.service.getExecution('default', execution!.id)).toMatchObject({
      status: 'SUCCEEDED',
      ...variant,
      endedAt: expect.any(String),
    });
    const news = (await bench.eventsOf(execution!.id)).map(({ data }) => [data.status, data.step]);
    expect(news).toEqual([
      ['QUEUED', undefined],
      ['IN_PROGRESS', 'DOWNLOADING'],
      ['IN_PROGRESS', 'BENCHMARKING'],
      ['SUCCEEDED', null],
    ]);
  });

  it('that fails gets its slot the previous desired state back, as a step back', async () => {
    const first = await dispatched(1);
    await succeed(first.executions);
    await bench.drive(first.id);
    const second = await dispatched(1, { devices: first.devices });
    expect((await bench.desired(first.devices[0]!))!.release).toBe(second.release);
    const version = (await bench.twins.get('default', first.devices[0]!)).version;
    await bench.report(second.executions[0]!, { status: 'FAILED', reason: 'golden-mismatch' });
    expect(await bench.desired(first.devices[0]!)).toMatchObject({
      release: first.release,
      rollout: first.id,
      execution: null,
      rollback: true,
    });
    expect((await bench.twins.get('default', first.devices[0]!)).version).toBe(version + 1);
  });

  it('that fails as the first of its slot leaves it empty again', async () => {
    const { executions, devices } = await dispatched(1);
    await bench.report(executions[0]!, { status: 'FAILED', reason: 'no-space' });
    expect(await bench.desired(devices[0]!)).toBeUndefined();
  });

  it('ends and gives back in one transaction: when the second cannot be done the first is not done either', async () => {
    const { executions, devices, release } = await dispatched(1);
    await server.database.pool.query(
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
       CREATE TRIGGER refuse BEFORE UPDATE ON twins FOR EACH ROW WHEN (NEW.device_id = '${devices[0]}') EXECUTE FUNCTION refuse()`,
    );
    try {
      await expect(bench.report(executions[0]!, { status: 'FAILED', reason: 'no-space' })).rejects.toThrow(/no/);
    } finally {
      await server.database.pool.query('DROP TRIGGER refuse ON twins; DROP FUNCTION refuse');
    }
    expect((await bench.executionsOf(executions[0]!.rollout))[0]!.status).toBe('QUEUED');
    expect((await bench.desired(devices[0]!))!.release).toBe(release);
    await bench.report(executions[0]!, { status: 'FAILED', reason: 'no-space' });
    expect(await bench.desired(devices[0]!)).toBeUndefined();
  });

  it('is final: late, repeated and contradicting reports change nothing and are no rejects', async () => {
    const { executions } = await dispatched(1);
    const [execution] = executions;
    await bench.report(execution!, { status: 'IN_PROGRESS', step: 'VERIFIED', sequence: 5_000_001 });
    await bench.report(execution!, { status: 'SUCCEEDED', sequence: 5_000_009 });
    const before = await bench.service.getExecution('default', execution!.id);
    for (const report of [
      { status: 'SUCCEEDED', sequence: 5_000_009 },
      { status: 'FAILED', sequence: 5_000_010 },
      { status: 'IN_PROGRESS', step: 'DOWNLOADING', sequence: 5_000_000 },
    ] as const)
      expect(await bench.report(execution!, report)).toEqual([]);
    expect(await bench.service.getExecution('default', execution!.id)).toEqual(before);
  });

  it('takes no older report over a newer one', async () => {
    const { executions } = await dispatched(1);
    await bench.report(executions[0]!, { status: 'IN_PROGRESS', step: 'VERIFIED', sequence: 7_000_002 });
    expect(await bench.report(executions[0]!, { status: 'FAILED', sequence: 7_000_001 })).toEqual([]);
    expect((await bench.service.getExecution('default', executions[0]!.id)).step).toBe('VERIFIED');
  });

  it('is not touched by another device, another fleet, an unknown id, a status that is the server’s, or before its turn', async () => {
    const { executions } = await dispatched(4, { waves: [...halves] });
    const [execution, neighbour, waiting] = executions;
    expect(await refused({ ...execution!, device: neighbour!.device }, { status: 'FAILED' })).toEqual([
      'execution-unknown',
    ]);
    expect(await refused(execution!, { status: 'FAILED' }, 'other')).toEqual(['execution-unknown']);
    expect(await refused({ ...execution!, id: 'exe_none' }, { status: 'FAILED' })).toEqual(['execution-unknown']);
    expect(await refused(execution!, { status: 'CANCELED' })).toEqual(['execution-report-invalid']);
    expect(await refused(waiting!, { status: 'SUCCEEDED' })).toEqual(['execution-report-invalid']);
    for (const { status } of await bench.executionsOf(execution!.rollout)) expect(status).toBe('QUEUED');
  });

  it('is judged within a batch by what the batch has made of it', async () => {
    const { executions, devices } = await dispatched(2);
    const [one, two] = executions;
    const refusals = await server.database.transaction((tx) =>
      bench.reports.apply(tx, [
        bench.received(one!, { status: 'IN_PROGRESS', step: 'DOWNLOADING' }),
        bench.received(two!, { status: 'FAILED', reason: 'no-space' }),
        bench.received(one!, { status: 'FAILED', reason: 'digest-mismatch' }),
        bench.received(one!, { status: 'SUCCEEDED' }),
        bench.received({ id: 'exe_none', device: one!.device }, { status: 'SUCCEEDED' }),
      ]),
    );
    expect(refusals).toHaveLength(1);
    for (const execution of await bench.executionsOf(one!.rollout)) expect(execution.status).toBe('FAILED');
    for (const device of devices) expect(await bench.desired(device)).toBeUndefined();
  });
});

describe('a newer rollout of the same slot', () => {
  it('ends the older execution, and a failure goes back to what was before both', async () => {
    const base = await dispatched(1);
    await succeed(base.executions);
    const older = await dispatched(1, { devices: base.devices });
    await bench.report(older.executions[0]!, { status: 'IN_PROGRESS', step: 'DOWNLOADING' });
    const newer = await dispatched(1, { devices: base.devices });
    expect((await bench.executionsOf(older.id))[0]).toMatchObject({ status: 'REMOVED', reason: 'superseded' });
    expect((await bench.drive(older.id)).status).toBe('SUCCEEDED');
    expect((await bench.eventsOf(older.executions[0]!.id)).at(-1)?.data).toMatchObject({
      status: 'REMOVED',
      rollout: older.id,
    });
    expect(await bench.report(older.executions[0]!, { status: 'SUCCEEDED' })).toEqual([]);
    expect((await bench.desired(base.devices[0]!))!.release).toBe(newer.release);
    await bench.report(newer.executions[0]!, { status: 'FAILED', reason: 'no-space' });
    expect((await bench.desired(base.devices[0]!))!.release).toBe(base.release);
  });

  it('takes from an older one also what that has yet to dispatch', async () => {
    const older = await dispatched(4, { waves: [...halves] });
    const waiting = older.executions[2]!;
    const newer = await dispatched(1, { devices: [waiting.device] });
    expect(await bench.service.getExecution('default', waiting.id)).toMatchObject({
      status: 'REMOVED',
      reason: 'superseded',
    });
    await succeed(older.executions.slice(0, 2));
    await bench.drive(older.id);
    expect((await bench.desired(waiting.device))!.release).toBe(newer.release);
  });

  it('in another pipeline leaves it alone', async () => {
    const device = await bench.enter('default', undefined, ['main', 'second']);
    const main = await dispatched(1, { devices: [device] });
    const second = await dispatched(1, { devices: [device], pipeline: 'second' });
    await bench.report(second.executions[0]!, { status: 'FAILED', reason: 'no-space' });
    expect((await bench.desired(device))!.release).toBe(main.release);
    expect((await bench.executionsOf(main.id))[0]!.status).toBe('QUEUED');
  });
});

describe('an operator', () => {
  it('pauses: what was dispatched goes on, nothing more is dispatched until it resumes', async () => {
    const { id, executions } = await dispatched(4, { waves: [...halves] });
    expect((await bench.service.pause('default', id)).status).toBe('PAUSED');
    await succeed(executions.slice(0, 2));
    expect((await bench.drive(id)).waves.map((wave) => wave.status)).toEqual(['RUNNING', 'PENDING']);
    await expect(bench.service.pause('default', id)).rejects.toThrow('is PAUSED');
    await bench.service.resume('default', id);
    expect((await bench.drive(id)).waves.map((wave) => wave.status)).toEqual(['SUCCEEDED', 'RUNNING']);
    await expect(bench.service.resume('default', id)).rejects.toThrow('is RUNNING');
  });

  it('creates it paused and starts it later', async () => {
    const { id, devices } = await dispatched(1, { paused: true });
    expect(await bench.desired(devices[0]!)).toBeUndefined();
    expect(await bench.service.get('default', id)).toMatchObject({ status: 'PAUSED', startedAt: null });
    await bench.service.resume('default', id);
    await bench.drive(id);
    expect(await bench.desired(devices[0]!)).toBeDefined();
  });

  it('aborts: what is unfinished is cancelled and goes back, what has succeeded stays', async () => {
    const { id, executions, release } = await dispatched(4, { waves: [...halves] });
    const [done, working, waiting] = executions;
    await succeed([done!]);
    await bench.report(working!, { status: 'IN_PROGRESS', step: 'DOWNLOADING' });
    const aborted = await bench.service.abort('default', id);
    expect(aborted).toMatchObject({ status: 'ABORTED', counts: { SUCCEEDED: 1, CANCELED: 3 } });
    expect((await bench.desired(done!.device))!.release).toBe(release);
    expect(await bench.desired(working!.device)).toBeUndefined();
    expect(await bench.notices(waiting!.device)).toBe(0);
    expect(await bench.report(working!, { status: 'SUCCEEDED' })).toEqual([]);
    await bench.drive(id);
    expect((await bench.service.get('default', id)).status).toBe('ABORTED');
    await expect(bench.service.abort('default', id)).rejects.toThrow('is ABORTED');
  });
});

describe('what has changed since the rollout was created', () => {
  it('a decommissioned device is passed over', async () => {
    const release = await bench.release();
    const devices = await bench.many(2);
    const { id } = await bench.create({ release, devices });
    await server.database.transaction((tx) => bench.lifecycle.decommission(tx, 'default', devices[0]!));
    await bench.drive(id);
    const executions = await bench.executionsOf(id);
    expect(executions.find((execution) => execution.device === devices[0])).toMatchObject({
      status: 'REMOVED',
      reason: 'device-removed',
    });
    await succeed(executions.filter((execution) => execution.device === devices[1]));
    expect((await bench.drive(id)).status).toBe('SUCCEEDED');
  });

  it('a device decommissioned while it works on it is found by the reconciler', async () => {
    const { id, devices } = await dispatched(1);
    await server.database.transaction((tx) => bench.lifecycle.decommission(tx, 'default', devices[0]!));
    await bench.processor.reconcile();
    expect((await bench.executionsOf(id))[0]).toMatchObject({ status: 'REMOVED', reason: 'device-removed' });
  });

  it('a device that has become of a tier without a variant is rejected, the others get theirs', async () => {
    const release = await bench.release(['fp32']);
    const devices = await bench.many(2);
    const { id } = await bench.create({ release, devices, failureThresholdPercent: 50 });
    await server.database.prisma.device.update({ where: { id: devices[0]! }, data: { tierOverride: 'mcu' } });
    await bench.drive(id);
    const executions = await bench.executionsOf(id);
    expect(executions.find((execution) => execution.device === devices[0])).toMatchObject({
      status: 'REJECTED',
      reason: 'no-candidate',
    });
    expect(await bench.desired(devices[0]!)).toBeUndefined();
    expect((await bench.desired(devices[1]!))!.candidates).toEqual(['fp32']);
  });
});

describe('fleets', () => {
  it('see and change only their own rollouts', async () => {
    const { id, executions } = await dispatched(1);
    await expect(bench.service.get('other', id)).rejects.toThrow(id);
    await expect(bench.service.abort('other', id)).rejects.toThrow(id);
    await expect(bench.service.getExecution('other', executions[0]!.id)).rejects.toThrow(executions[0]!.id);
    expect((await bench.executionsOf(id, 'other')).length).toBe(0);
    await bench.engine.advance('other', id);
    expect((await bench.service.get('default', id)).status).toBe('RUNNING');
  });

  it('cannot target or roll out what is another’s', async () => {
    const [device] = await bench.many(1);
    const [foreign] = await bench.many(1, 'other');
    const release = await bench.release();
    const foreignRelease = await bench.release(['fp32'], 'other');
    await expect(bench.create({ release, devices: [device!, foreign!] })).rejects.toThrow(foreign!);
    await expect(bench.create({ release: foreignRelease, devices: [device!] })).rejects.toThrow('no release');
  });
});
