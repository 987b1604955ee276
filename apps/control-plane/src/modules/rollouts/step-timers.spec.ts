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

async function dispatched(online: boolean, stepTimeoutSeconds = 100): Promise<Execution> {
  const release = await bench.release();
  const [device] = await bench.many(1);
  await bench.setOnline(device!, online);
  const { id } = await bench.create({ release, devices: [device!], stepTimeoutSeconds });
  await bench.drive(id);
  return (await bench.executionsOf(id))[0]!;
}

/** Lets time pass for one execution: its deadline comes nearer. */
async function pass({ id }: Execution, seconds: number): Promise<void> {
  await server.database.pool.query(
    `UPDATE executions SET step_deadline = step_deadline - $2 * interval '1 s' WHERE id = $1`,
    [id, seconds],
  );
}

async function secondsLeft({ id }: Execution): Promise<number | null> {
  const { rows } = await server.database.pool.query<{ left: number | null }>(
    `SELECT round(extract(epoch FROM step_deadline - now()))::int AS left FROM executions WHERE id = $1`,
    [id],
  );
  return rows[0]!.left;
}

const status = async ({ id }: Execution) => (await bench.service.getExecution('default', id)).status;

describe('the timer of a step', () => {
  it('does not run while the device is offline and queued, however long that is', async () => {
    const execution = await dispatched(false);
    await bench.processor.reconcile();
    expect(await secondsLeft(execution)).toBeNull();
    await server.database.pool.query(`UPDATE executions SET queued_at = now() - interval '90 days' WHERE id = $1`, [
      execution.id,
    ]);
    await bench.processor.reconcile();
    expect(await status(execution)).toBe('QUEUED');
  });

  it('starts anew with each step, not with progress within one', async () => {
    const execution = await dispatched(true);
    await bench.report(execution, { status: 'IN_PROGRESS', step: 'DOWNLOADING' });
    expect(await secondsLeft(execution)).toBe(100);
    await pass(execution, 60);
    await bench.report(execution, { status: 'IN_PROGRESS', step: 'DOWNLOADING', progress: 0.5 });
    expect(await secondsLeft(execution)).toBe(40);
    await bench.report(execution, { status: 'IN_PROGRESS', step: 'VERIFIED' });
    expect(await secondsLeft(execution)).toBe(100);
  });

  it('stops while the device is away and goes on with what was left', async () => {
    const execution = await dispatched(true);
    await bench.report(execution, { status: 'IN_PROGRESS', step: 'DOWNLOADING' });
    await pass(execution, 70);
    await bench.setOnline(execution.device, false);
    await bench.processor.reconcile();
    expect(await secondsLeft(execution)).toBeNull();
    await bench.setOnline(execution.device, true);
    await bench.processor.reconcile();
    expect(await secondsLeft(execution)).toBe(30);
  });

  it('runs out for a device that comes and goes', async () => {
    const execution = await dispatched(true);
    await bench.report(execution, { status: 'IN_PROGRESS', step: 'ACTIVATING' });
    for (let times = 0; times < 3; times += 1) {
      await pass(execution, 40);
      await bench.setOnline(execution.device, false);
      await bench.processor.reconcile();
      await bench.setOnline(execution.device, true);
      await bench.processor.reconcile();
    }
    await pass(execution, 1);
    await bench.processor.reconcile();
    expect(await status(execution)).toBe('TIMED_OUT');
  });

  it('ends the execution and gives back the previous desired state when it has run out', async () => {
    const execution = await dispatched(true);
    await bench.report(execution, { status: 'IN_PROGRESS', step: 'BENCHMARKING' });
    await pass(execution, 101);
    await bench.processor.reconcile();
    expect(await bench.service.getExecution('default', execution.id)).toMatchObject({
      status: 'TIMED_OUT',
      reason: 'step-timeout',
      step: 'BENCHMARKING',
      message: expect.stringContaining('BENCHMARKING'),
    });
    expect(await bench.desired(execution.device)).toBeUndefined();
    expect((await bench.eventsOf(execution.id)).at(-1)?.data).toMatchObject({ status: 'TIMED_OUT' });
    expect((await bench.drive(execution.rollout)).status).toBe('FAILED');
  });

  it('runs out for a device that is online and never begins', async () => {
    const execution = await dispatched(true);
    await bench.processor.reconcile();
    await pass(execution, 101);
    await bench.processor.reconcile();
    expect(await bench.service.getExecution('default', execution.id)).toMatchObject({
      status: 'TIMED_OUT',
      message: expect.stringContaining('did not begin'),
    });
  });

  it('does not begin for an execution that waits for another pipeline of its device', async () => {
    const release = await bench.release();
    const device = await bench.enter('default', undefined, ['main', 'second']);
    await bench.setOnline(device, true);
    const main = await bench.create({ release, devices: [device] });
    const second = await bench.create({ release, devices: [device], pipeline: 'second' });
    await bench.drive(main.id);
    await bench.drive(second.id);
    const [working] = await bench.executionsOf(main.id);
    const [waiting] = await bench.executionsOf(second.id);
    await bench.report(working!, { status: 'IN_PROGRESS', step: 'DOWNLOADING' });
    await bench.processor.reconcile();
    expect(await secondsLeft(waiting!)).toBeNull();
    await bench.report(working!, { status: 'SUCCEEDED' });
    await bench.processor.reconcile();
    expect(await secondsLeft(waiting!)).toBe(300);
  });

  it('that ran out just as the device got on changes nothing', async () => {
    const execution = await dispatched(true);
    await bench.report(execution, { status: 'IN_PROGRESS', step: 'DOWNLOADING' });
    await pass(execution, 101);
    const found = await bench.executions.overdue(100);
    expect(found.map((row) => row.id)).toContain(execution.id);
    await bench.report(execution, { status: 'IN_PROGRESS', step: 'DOWNLOADED' });
    const ended = await server.database.transaction((tx) => bench.executions.endOverdue(tx, 'default', execution.id));
    expect(ended).toBeUndefined();
    expect(await status(execution)).toBe('IN_PROGRESS');
  });
});
