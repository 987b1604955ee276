import type { CreateRollout, Execution, QueryOf, Release, Rollout, Tier, api } from '@drover/contracts';
import { InvalidInputError, newId } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { ConflictError, NotFoundError } from '../../platform/http/errors.ts';
import { DeviceSelection } from '../devices/device-selection.service.ts';
import { candidatesFor } from '../models/candidates/candidate-plan.ts';
import { ReleaseRepository } from '../models/releases/release.repository.ts';
import { ExecutionRepository } from './execution.repository.ts';
import { RolloutEngine } from './rollout-engine.ts';
import { planWaves } from './rollout-plan.ts';
import { RolloutRepository, toRollout } from './rollout.repository.ts';
import type { RolloutRow, TargetedDevice } from './rollout.repository.ts';

/** Names of devices in an error are cut after this many. */
const NAMED = 5;

/** What operators ask of rollouts. What happens by itself is the engine's. */
@Injectable()
export class RolloutService {
  constructor(
    private readonly database: Database,
    private readonly rollouts: RolloutRepository,
    private readonly executions: ExecutionRepository,
    private readonly releases: ReleaseRepository,
    private readonly selection: DeviceSelection,
    private readonly engine: RolloutEngine,
    private readonly events: EventOutbox,
  ) {}

  async list(
    fleet: string,
    query: QueryOf<typeof api.rollouts.list>,
  ): Promise<{ items: Rollout[]; nextCursor: string | null }> {
    const { items, nextCursor } = await this.rollouts.list(fleet, query);
    return { items: await Promise.all(items.map((row) => this.#show(row))), nextCursor };
  }

  /** @throws NotFoundError */
  async get(fleet: string, id: string): Promise<Rollout> {
    const row = await this.rollouts.find(fleet, id);
    if (!row) throw NotFoundError.of('rollout', id);
    return this.#show(row);
  }

  listExecutions(
    fleet: string,
    query: QueryOf<typeof api.executions.list>,
  ): Promise<{ items: Execution[]; nextCursor: string | null }> {
    return this.executions.list(fleet, query);
  }

  /** @throws NotFoundError */
  async getExecution(fleet: string, id: string): Promise<Execution> {
    const execution = await this.executions.find(fleet, id);
    if (!execution) throw NotFoundError.of('execution', id);
    return execution;
  }

  /**
   * Creates a rollout and, unless it is to be paused, begins it.
   *
   * @throws InvalidInputError listing everything that is wrong with it: release, target, devices without the pipeline, tiers without
   *   a variant
   */
  async create(fleet: string, input: CreateRollout): Promise<Rollout> {
    const id = newId('rol');
    await this.database.transaction(async (tx) => {
      const release = await this.#requireRelease(tx, fleet, input);
      const devices = await this.#requireDevices(tx, fleet, input);
      const totals = planWaves(devices.length, input.waves);
      const waves = totals.map((total, index) => ({ total, size: input.waves[index]! }));
      await this.rollouts.create(
        tx,
        fleet,
        id,
        { ...input, name: input.name ?? `${release.model} ${release.version} to ${input.pipeline}` },
        waves,
      );
      const waveOf = totals.flatMap((total, wave) => Array<number>(total).fill(wave));
      await this.executions.create(
        tx,
        fleet,
        id,
        `pipeline:${input.pipeline}`,
        devices.map((device, index) => ({ id: newId('exe'), wave: waveOf[index]!, device: device.id })),
      );
      await this.events.append(tx, {
        fleet,
        type: 'rollout.created',
        subject: id,
        data: { release: input.release, devices: devices.length, waves: totals },
      });
    });
    if (!input.paused) await this.engine.wake(fleet, id);
    return this.get(fleet, id);
  }

  /** @throws NotFoundError, ConflictError where it isn't RUNNING */
  async pause(fleet: string, id: string): Promise<Rollout> {
    await this.#change(fleet, id, ['RUNNING'], async (tx) => {
      await this.rollouts.setStatus(tx, fleet, id, 'PAUSED', 'paused by an operator');
      await this.events.append(tx, { fleet, type: 'rollout.paused', subject: id });
    });
    return this.get(fleet, id);
  }

  /** @throws NotFoundError, ConflictError where it isn't PAUSED */
  async resume(fleet: string, id: string): Promise<Rollout> {
    await this.#change(fleet, id, ['PAUSED'], async (tx) => {
      await this.rollouts.setStatus(tx, fleet, id, 'RUNNING', null);
      await this.events.append(tx, { fleet, type: 'rollout.resumed', subject: id });
    });
    await this.engine.wake(fleet, id);
    return this.get(fleet, id);
  }

  /** @throws NotFoundError, ConflictError where it has ended */
  async abort(fleet: string, id: string): Promise<Rollout> {
    await this.#change(fleet, id, ['RUNNING', 'PAUSED', 'DRAFT'], (tx) =>
      this.engine.stopRollout(tx, fleet, id, 'ABORTED', 'aborted by an operator'),
    );
    return this.get(fleet, id);
  }

  async #change(
    fleet: string,
    id: string,
    from: readonly string[],
    change: (tx: Transaction) => Promise<void>,
  ): Promise<void> {
    await this.database.transaction(async (tx) => {
      const row = await this.rollouts.lock(tx, fleet, id);
      if (!row) throw NotFoundError.of('rollout', id);
      if (!from.includes(row.status))
        throw new ConflictError(`The rollout is ${row.status}; this needs it to be ${from.join(' or ')}.`);
      await change(tx);
    });
  }

  async #requireRelease(tx: Transaction, fleet: string, { release: id, variant }: CreateRollout): Promise<Release> {
    const release = await this.releases.find(fleet, id, tx);
    if (!release)
      throw new InvalidInputError(`There is no release "${id}" in this fleet.`, {
        problems: [{ path: 'release', message: 'there is no such release' }],
      });
    if (release.status !== 'READY') {
      throw new InvalidInputError(`The release "${id}" is ${release.status}, not READY.`, {
        problems: [{ path: 'release', message: `is ${release.status}` }],
      });
    }
    const pinned = release.variants.find(({ name }) => name === variant);
    if (variant !== undefined && !pinned?.offered) {
      const message = pinned
        ? `"${variant}" is never offered: ${pinned.refusals.map((refusal) => refusal.message).join('; ')}`
        : `the release has no variant "${variant}"; it has ${release.variants.map(({ name }) => name).join(', ')}`;
      throw new InvalidInputError(`variant: ${message}`, { problems: [{ path: 'variant', message }] });
    }
    return release;
  }

  async #requireDevices(tx: Transaction, fleet: string, input: CreateRollout): Promise<TargetedDevice[]> {
    const ids = await this.selection.resolve(tx, fleet, input.target);
    const all = await this.rollouts.targeted(tx, fleet, ids, input.pipeline);
    const devices = all.filter((device) => device.hasPipeline);
    const problems: FieldProblem[] = [];
    const without = all.filter((device) => !device.hasPipeline);
    // Of a group or a filter those with the pipeline are meant; a device that was named must have it.
    if (input.target.kind === 'devices' && without.length > 0) {
      problems.push({
        path: 'target.devices',
        message: `${names(without)} ${without.length === 1 ? 'has' : 'have'} no pipeline "${input.pipeline}"`,
      });
    }
    if (problems.length === 0 && devices.length === 0)
      problems.push({ path: 'target', message: `no active device with a pipeline "${input.pipeline}" is targeted` });
    const variants = await this.releases.offered(fleet, input.release, tx);
    const stranded = devices.filter(
      ({ tier, memoryBytes }) => candidatesFor({ tier: tier as Tier, memoryBytes }, variants, input).length === 0,
    );
    if (stranded.length > 0) problems.push(strandedProblem(input, stranded));
    if (problems.length > 0)
      throw new InvalidInputError(problems.map((p) => `${p.path}: ${p.message}`).join('; '), { problems });
    return devices;
  }

  async #show(row: RolloutRow): Promise<Rollout> {
    return toRollout(row, await this.executions.countsByWave(row.fleetId, row.id));
  }
}

/** Why devices have no candidate: the pin or the budget is to blame where there was one. */
function strandedProblem(input: CreateRollout, stranded: readonly TargetedDevice[]): FieldProblem {
  const tiers = [...new Set(stranded.map((device) => device.tier))].join(', ');
  const whom = `the tier ${tiers} (${names(stranded)})`;
  if (input.variant !== undefined)
    return { path: 'variant', message: `"${input.variant}" cannot run on ${whom}, or is over the accuracy budget` };
  if (input.accuracyBudget !== undefined)
    return {
      path: 'accuracyBudget',
      message: `leaves no variant that loses at most ${input.accuracyBudget} VUS-PR for ${whom}`,
    };
  return { path: 'release', message: `has no variant for ${whom}` };
}

function names(devices: readonly TargetedDevice[]): string {
  const shown = devices.slice(0, NAMED).map((device) => device.name);
  return devices.length > NAMED ? `${shown.join(', ')} and ${devices.length - NAMED} more` : shown.join(', ');
}
