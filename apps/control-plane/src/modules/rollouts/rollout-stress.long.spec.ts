import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecutionStatus } from '@drover/contracts';
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

const DEVICES = 30;
const STRESS_MS = 4_000;

async function deadlocks(): Promise<number> {
  const { rows } = await server.database.pool.query<{ deadlocks: string }>(
    'SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()',
  );
  return Number(rows[0]!.deadlocks);
}

const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)]!;

describe('dispatches, batches of reports, aborts and sweeps at the same time on the same devices', () => {
  it('never wait for each other in a circle, and leave every slot as its executions say', async () => {
    const devices = await bench.many(DEVICES);
    const release = await bench.release();
    const before = await deadlocks();
    const rollouts = [(await bench.create({ release, devices })).id];
    const errors: unknown[] = [];
    const until = Date.now() + STRESS_MS;
    const repeat = async (work: () => Promise<unknown>): Promise<void> => {
      while (Date.now() < until) await work().catch((error: unknown) => errors.push(error));
    };
    const shuffled = (): string[] => devices.toSorted(() => Math.random() - 0.5);
    await Promise.all([
      ...[1, 2].map(() =>
        repeat(async () => {
          const { id } = await bench.create({
            release,
            devices: shuffled().slice(0, 20),
            failureThresholdPercent: 50,
            waves: [
              { kind: 'percent', percent: 50 },
              { kind: 'percent', percent: 50 },
            ],
          });
          rollouts.push(id);
          await bench.drive(id);
        }),
      ),
      ...[1, 2].map(() =>
        repeat(async () => {
          const active = await server.database.prisma.execution.findMany({
            where: { status: { in: ['QUEUED', 'IN_PROGRESS'] }, dispatchedAt: { not: null } },
            select: { id: true, deviceId: true },
          });
          const batch = active
            .toSorted(() => Math.random() - 0.5)
            .slice(0, 15)
            .map(({ id, deviceId: device }) =>
              bench.received({ id, device }, { status: pick<ExecutionStatus>(['IN_PROGRESS', 'SUCCEEDED', 'FAILED']) }),
            );
          await server.database.transaction((tx) => bench.reports.apply(tx, batch));
        }),
      ),
      repeat(async () => {
        await bench.drive(pick(rollouts.slice(-4)));
      }),
      repeat(async () => {
        await new Promise((resolve) => setTimeout(resolve, 100));
        // One that has ended by itself meanwhile can't be aborted; that is no fault.
        await bench.service.abort('default', pick(rollouts.slice(-4))).catch(() => undefined);
      }),
      repeat(async () => {
        await bench.setOnline(pick(devices), Math.random() < 0.5);
        await bench.processor.reconcile();
      }),
    ]);
    expect(errors).toEqual([]);
    expect(rollouts.length).toBeGreaterThan(3);
    expect(await deadlocks()).toBe(before);
    await invariants();
  });
});

/** What must hold whatever happened. */
async function invariants(): Promise<void> {
  const { pool } = server.database;
  const count = async (sql: string): Promise<number> => (await pool.query(sql)).rowCount ?? 0;
  // One dispatched, unfinished execution per slot, and the twin is what it says.
  expect(
    await count(
      `SELECT device_id FROM executions WHERE dispatched_at IS NOT NULL AND status IN ('QUEUED', 'IN_PROGRESS') GROUP BY device_id, slot HAVING count(*) > 1`,
    ),
  ).toBe(0);
  expect(
    await count(
      `SELECT e.id FROM executions e JOIN twins t ON t.device_id = e.device_id
        WHERE e.dispatched_at IS NOT NULL AND e.status IN ('QUEUED', 'IN_PROGRESS')
          AND t.desired->'pipelines'->'main'->>'execution' IS DISTINCT FROM e.id`,
    ),
  ).toBe(0);
  // No twin names an execution that ended without success.
  expect(
    await count(
      `SELECT e.id FROM twins t JOIN executions e ON e.id = t.desired->'pipelines'->'main'->>'execution'
        WHERE e.status NOT IN ('QUEUED', 'IN_PROGRESS', 'SUCCEEDED')`,
    ),
  ).toBe(0);
  // A rollout that has ended has nothing unfinished.
  expect(
    await count(
      `SELECT e.id FROM executions e JOIN rollouts r ON r.id = e.rollout_id
        WHERE r.status IN ('SUCCEEDED', 'FAILED', 'ABORTED') AND e.status IN ('QUEUED', 'IN_PROGRESS')`,
    ),
  ).toBe(0);
}
