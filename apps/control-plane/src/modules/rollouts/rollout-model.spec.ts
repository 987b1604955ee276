import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ExecutionStatus, RolloutStatus } from '@drover/contracts';
import { testDatabase } from '../../platform/database/test-database.fixture.ts';
import type { TestDatabase } from '../../platform/database/test-database.fixture.ts';
import { rolloutsOn } from './rollouts.fixture.ts';
import type { RolloutsBench } from './rollouts.fixture.ts';

/**
 * The state machine against a model of it: whatever operators, devices and timers do, in whatever order, every execution, rollout
 * and desired state is what a few lines of plain code say that it is.
 */

interface ModelExecution {
  readonly id: string;
  readonly device: number;
  readonly wave: number;
  status: ExecutionStatus;
  dispatched: boolean;
}

interface ModelRollout {
  readonly id: string;
  readonly release: string;
  readonly executions: ModelExecution[];
  readonly waves: number;
  wave: number;
  status: RolloutStatus;
}

const DEVICES = 3;
const isOpen = (execution: ModelExecution): boolean => ['QUEUED', 'IN_PROGRESS'].includes(execution.status);

class Model {
  /** What each device goes back to: the release that it last succeeded with. */
  readonly base: (string | null)[] = Array<string | null>(DEVICES).fill(null);
  /** Oldest first. */
  readonly rollouts: ModelRollout[] = [];

  active(device: number): { rollout: ModelRollout; execution: ModelExecution } | undefined {
    for (const rollout of this.rollouts) {
      const execution = rollout.executions.find((one) => one.device === device && one.dispatched && isOpen(one));
      if (execution) return { rollout, execution };
    }
    return undefined;
  }

  desired(device: number): string | null {
    return this.active(device)?.rollout.release ?? this.base[device]!;
  }

  drive(rollout: ModelRollout): void {
    while (rollout.status === 'RUNNING') {
      if (rollout.wave === rollout.waves) {
        rollout.status = 'SUCCEEDED';
        return;
      }
      const wave = rollout.executions.filter((execution) => execution.wave === rollout.wave);
      for (const execution of wave) if (!execution.dispatched && isOpen(execution)) this.#dispatch(rollout, execution);
      if (wave.some(({ status }) => ['FAILED', 'TIMED_OUT', 'REJECTED'].includes(status))) {
        this.stop(rollout, 'FAILED');
        return;
      }
      if (wave.some(isOpen)) return;
      rollout.wave += 1;
    }
  }

  stop(rollout: ModelRollout, status: 'FAILED' | 'ABORTED'): void {
    rollout.status = status;
    for (const execution of rollout.executions) if (isOpen(execution)) execution.status = 'CANCELED';
  }

  report(rollout: ModelRollout, execution: ModelExecution, status: ExecutionStatus): void {
    if (!execution.dispatched || !isOpen(execution)) return;
    execution.status = status;
    if (status === 'SUCCEEDED') this.base[execution.device] = rollout.release;
  }

  #dispatch(rollout: ModelRollout, execution: ModelExecution): void {
    for (const other of this.rollouts) {
      if (other === rollout) continue;
      const isOlder = this.rollouts.indexOf(other) < this.rollouts.indexOf(rollout);
      for (const rival of other.executions)
        if (rival.device === execution.device && isOpen(rival) && (rival.dispatched || isOlder))
          rival.status = 'REMOVED';
    }
    execution.dispatched = true;
  }
}

class Real {
  constructor(
    readonly bench: RolloutsBench,
    readonly devices: readonly string[],
    readonly releases: readonly string[],
  ) {}
}

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

type Command = fc.AsyncCommand<Model, Real>;

/** After every command everything must be as the model has it. */
async function compare(model: Model, { bench: real, devices }: Real): Promise<void> {
  for (const rollout of model.rollouts) {
    expect((await real.service.get('default', rollout.id)).status).toBe(rollout.status);
    const executions = new Map((await real.executionsOf(rollout.id)).map((one) => [one.id, one.status]));
    for (const { id, status } of rollout.executions) expect(executions.get(id)).toBe(status);
  }
  for (const [i, device] of devices.entries()) {
    const desired = await real.desired(device);
    expect(desired?.release ?? null).toBe(model.desired(i));
    const active = model.active(i);
    if (active) expect(desired?.execution).toBe(active.execution.id);
  }
}

/** Drives until nothing changes: a job may leave the next step to the next job. */
async function settle(model: Model, real: Real, rollout: ModelRollout): Promise<void> {
  for (let i = 0; i < 3; i += 1) await real.bench.drive(rollout.id);
  model.drive(rollout);
}

const anyIndex = fc.nat(1_000);
const at = <T>(list: readonly T[], index: number): T => list[index % list.length]!;

function command(
  name: string,
  arguments_: readonly unknown[],
  check: (model: Model) => boolean,
  run: (model: Model, real: Real) => Promise<void>,
): Command {
  return {
    check,
    run: async (model, real) => {
      await run(model, real);
      await compare(model, real);
    },
    toString: () => `${name}(${arguments_.map((argument) => JSON.stringify(argument)).join(', ')})`,
  };
}

const any = (model: Model): boolean => model.rollouts.length > 0;

/** Mostly one that a device is working on; now and then any other. */
function pick(model: Model, r: number, e: number): { rollout: ModelRollout; execution: ModelExecution } {
  const active = Array.from({ length: DEVICES }, (_, device) => model.active(device)).filter(
    (one) => one !== undefined,
  );
  if (active.length > 0 && r % 4 !== 0) return at(active, e);
  const rollout = at(model.rollouts, r);
  return { rollout, execution: at(rollout.executions, e) };
}

const commands = [
  fc
    .tuple(fc.uniqueArray(fc.nat(DEVICES - 1), { minLength: 1 }), fc.nat(1), fc.boolean(), anyIndex)
    .map(([targets, release, inWaves, salt]) =>
      command(
        'create',
        [targets, release, inWaves],
        () => true,
        async (model, real) => {
          const { id } = await real.bench.create({
            release: real.releases[release]!,
            devices: targets.map((target) => real.devices[target]!),
            waves: inWaves
              ? [
                  { kind: 'count', count: 1 },
                  { kind: 'percent', percent: 50 },
                ]
              : [{ kind: 'percent', percent: 100 }],
            name: `rollout ${salt}`,
          });
          const executions = (await real.bench.executionsOf(id)).map(
            ({ id: execution, device, wave }): ModelExecution => ({
              id: execution,
              device: real.devices.indexOf(device),
              wave,
              status: 'QUEUED',
              dispatched: false,
            }),
          );
          const waves = Math.max(...executions.map((one) => one.wave)) + 1;
          const rollout: ModelRollout = {
            id,
            release: real.releases[release]!,
            executions,
            waves,
            wave: 0,
            status: 'RUNNING',
          };
          model.rollouts.push(rollout);
          if (salt % 3 > 0) await settle(model, real, rollout);
        },
      ),
    ),
  anyIndex.map((index) =>
    command('drive', [index], any, (model, real) => settle(model, real, at(model.rollouts, index))),
  ),
  fc
    .tuple(anyIndex, anyIndex, fc.constantFrom<ExecutionStatus>('IN_PROGRESS', 'SUCCEEDED', 'FAILED', 'REJECTED'))
    .map(([r, e, status]) =>
      command('report', [r, e, status], any, async (model, real) => {
        const { rollout, execution } = pick(model, r, e);
        const device = real.devices[execution.device]!;
        await real.bench.report({ id: execution.id, device }, { status });
        // Once more, as it comes after a lost acknowledgement.
        await real.bench.report({ id: execution.id, device }, { status, sequence: 1 });
        model.report(rollout, execution, status);
      }),
    ),
  fc.tuple(anyIndex, anyIndex).map(([r, e]) =>
    command('time out', [r, e], any, async (model, real) => {
      const { rollout, execution } = pick(model, r, e);
      await server.database.pool.query(
        `UPDATE executions SET step_deadline = now() - interval '1 s'
          WHERE id = $1 AND status IN ('QUEUED', 'IN_PROGRESS') AND dispatched_at IS NOT NULL`,
        [execution.id],
      );
      await real.bench.processor.reconcile();
      model.report(rollout, execution, 'TIMED_OUT');
    }),
  ),
  ...(['pause', 'resume', 'abort'] as const).map((action) =>
    anyIndex.map((index) =>
      command(action, [index], any, async (model, real) => {
        const rollout = at(model.rollouts, index);
        const from = { pause: ['RUNNING'], resume: ['PAUSED'], abort: ['RUNNING', 'PAUSED'] }[action];
        const done = await real.bench.service[action]('default', rollout.id).then(
          () => true,
          () => false,
        );
        expect(done).toBe(from.includes(rollout.status));
        if (!done) return;
        if (action === 'abort') model.stop(rollout, 'ABORTED');
        else rollout.status = action === 'pause' ? 'PAUSED' : 'RUNNING';
      }),
    ),
  ),
];

describe('rollouts', () => {
  it('are in every state what the model of them says', async () => {
    const releases = [await bench.release(), await bench.release(), await bench.release()];
    await fc.assert(
      fc.asyncProperty(fc.commands(commands, { maxCommands: 25, size: 'max' }), async (run) => {
        const devices = await bench.many(DEVICES);
        for (const device of devices) await bench.setOnline(device, true);
        const setup = () => ({ model: new Model(), real: new Real(bench, devices, releases) });
        await fc.asyncModelRun(setup, run);
      }),
      { numRuns: 12, endOnFailure: true },
    );
  }, 60_000);
});
