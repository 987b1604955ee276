import type { DesiredPipeline, Release, RolloutStatus } from '@drover/contracts';
import { Injectable } from '@nestjs/common';
import { Database } from '../../platform/database/database.ts';
import type { Transaction } from '../../platform/database/database.ts';
import { EventOutbox } from '../../platform/events/event-outbox.ts';
import { Queues } from '../../platform/queue/queues.ts';
import { ArtifactStore } from '../../platform/storage/artifact-store.ts';
import { TwinService } from '../devices/twin.service.ts';
import { CandidateService } from '../models/candidates/candidate.service.ts';
import { ReleaseRepository } from '../models/releases/release.repository.ts';
import { ExecutionRepository } from './execution.repository.ts';
import type { Dispatchable, Restorable } from './execution.repository.ts';
import { judgeWave } from './rollout-plan.ts';
import { RolloutRepository } from './rollout.repository.ts';
import type { RolloutRow } from './rollout.repository.ts';

export const ROLLOUT_QUEUE = 'rollouts';
export const ADVANCE_JOB = 'advance';
export const DISPATCH_JOB = 'dispatch';

/** Devices whose desired state is written in one transaction. */
const DISPATCH_CHUNK = 500;

/**
 * Drives rollouts: dispatches waves, advances them, stops them.
 *
 * INVARIANTS
 * - Every decision about a rollout is taken with its row locked, from rows alone: a job that runs twice, late, or after the queue
 *   was lost decides the same.
 * - An execution ends without success only in the transaction that puts its slot's previous desired state back.
 * - A device slot has at most one dispatched, unfinished execution: dispatching another ends the older as superseded, and takes
 *   over what that one would have put back. (A partial unique index holds it, too.)
 */
@Injectable()
export class RolloutEngine {
  constructor(
    private readonly database: Database,
    private readonly rollouts: RolloutRepository,
    private readonly executions: ExecutionRepository,
    private readonly releases: ReleaseRepository,
    private readonly candidates: CandidateService,
    private readonly twins: TwinService,
    private readonly artifacts: ArtifactStore,
    private readonly queues: Queues,
    private readonly events: EventOutbox,
  ) {}

  /** Asks for the rollout to be looked at soon. A shortcut only: the reconciler asks for all of them. */
  async wake(fleet: string, rollout: string): Promise<void> {
    await this.queues
      .add(ROLLOUT_QUEUE, ADVANCE_JOB, { fleet, rollout }, { jobId: `advance.${fleet}.${rollout}`, again: true })
      .catch(() => undefined);
  }

  /** Starts the next wave, dispatches what is not yet dispatched, ends waves and the rollout, as the rows say. */
  async advance(fleet: string, id: string): Promise<void> {
    for (;;) {
      const next = await this.database.transaction((tx) => this.#step(tx, fleet, id));
      if (next === 'wait') return;
      if (next === 'dispatch') {
        await this.queues.add(
          ROLLOUT_QUEUE,
          DISPATCH_JOB,
          { fleet, rollout: id },
          { jobId: `dispatch.${fleet}.${id}` },
        );
        return;
      }
    }
  }

  /** Writes the desired state of the running wave's devices, chunk by chunk. */
  async dispatch(fleet: string, id: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const done = await this.database.transaction((tx) => this.#dispatchChunk(tx, fleet, id));
      if (done < DISPATCH_CHUNK) break;
    }
    await this.wake(fleet, id);
  }

  /**
   * Ends a rollout before its end: what is unfinished is cancelled, and devices that were given the new state get their previous
   * one back. Call with its row locked.
   */
  async stopRollout(
    tx: Transaction,
    fleet: string,
    id: string,
    status: Extract<RolloutStatus, 'FAILED' | 'ABORTED'>,
    reason: string,
  ): Promise<void> {
    const unfinished = await this.executions.lockUnfinished(tx, fleet, id);
    const dispatched = new Set(unfinished.filter((execution) => execution.dispatched).map((execution) => execution.id));
    const ended = await this.executions.end(
      tx,
      fleet,
      unfinished.map((execution) => execution.id),
      'CANCELED',
      'rollout-aborted',
      reason,
    );
    await this.restore(
      tx,
      fleet,
      ended.filter((execution) => dispatched.has(execution.id)),
    );
    await this.rollouts.endOpenWaves(tx, fleet, id, status === 'FAILED' ? 'FAILED' : 'ABORTED');
    await this.rollouts.setStatus(tx, fleet, id, status, reason);
    await this.events.append(
      tx,
      ...ended.map((execution) => executionEvent(fleet, id, execution, 'CANCELED', 'rollout-aborted')),
      { fleet, type: status === 'FAILED' ? 'rollout.failed' : 'rollout.aborted', subject: id, data: { reason } },
    );
  }

  /** Puts the previous desired state of slots back, as a step back that devices accept. Never twice for one slot. */
  async restore(tx: Transaction, fleet: string, ended: readonly Restorable[]): Promise<void> {
    // Devices with several slots take a further round each; the first one locks all there are.
    let left = ended;
    while (left.length > 0) {
      const round = [...new Map(left.map((execution) => [execution.device, execution])).values()];
      await this.twins.changePipelines(
        tx,
        fleet,
        round.map(({ device, slot, previous }) => ({
          device,
          pipeline: slot.slice('pipeline:'.length),
          desired: previous === null ? null : { ...previous, rollback: true, execution: null },
          rollback: true,
        })),
      );
      const done = new Set(round);
      left = left.filter((execution) => !done.has(execution));
    }
  }

  async #step(tx: Transaction, fleet: string, id: string): Promise<'wait' | 'dispatch' | 'again'> {
    const rollout = await this.rollouts.lock(tx, fleet, id);
    if (!rollout || rollout.status !== 'RUNNING') return 'wait';
    const wave = rollout.waves.find((candidate) => candidate.status === 'PENDING' || candidate.status === 'RUNNING');
    if (!wave) {
      await this.rollouts.setStatus(tx, fleet, id, 'SUCCEEDED', null);
      await this.events.append(tx, {
        fleet,
        type: 'rollout.succeeded',
        subject: id,
        data: { release: rollout.releaseId },
      });
      return 'wait';
    }
    if (wave.status === 'PENDING') {
      await this.rollouts.setWaveStatus(tx, fleet, id, wave.index, 'RUNNING');
      await this.events.append(tx, {
        fleet,
        type: 'rollout.wave-started',
        subject: id,
        data: { wave: wave.index, devices: wave.total },
      });
      return 'dispatch';
    }
    const counts = (await this.executions.countsByWave(fleet, id, tx)).get(wave.index) ?? {};
    const verdict = judgeWave(counts, wave.total, rollout.failureThresholdPercent);
    if (verdict.kind === 'failed') {
      const reason = `wave ${wave.index + 1}: ${verdict.failed} of ${wave.total} did not succeed (${verdict.percent.toFixed(1)} %, allowed are ${rollout.failureThresholdPercent} %)`;
      await this.stopRollout(tx, fleet, id, 'FAILED', reason);
      return 'wait';
    }
    if (verdict.kind === 'running')
      return (await this.executions.countUndispatched(fleet, id, wave.index, tx)) > 0 ? 'dispatch' : 'wait';
    await this.rollouts.setWaveStatus(tx, fleet, id, wave.index, 'SUCCEEDED');
    await this.events.append(tx, { fleet, type: 'rollout.wave-succeeded', subject: id, data: { wave: wave.index } });
    return 'again';
  }

  /** @returns how many executions were taken */
  async #dispatchChunk(tx: Transaction, fleet: string, id: string): Promise<number> {
    const rollout = await this.rollouts.lock(tx, fleet, id);
    const wave = rollout?.waves.find((candidate) => candidate.status === 'RUNNING');
    if (!rollout || rollout.status !== 'RUNNING' || !wave) return 0;
    const release = (await this.releases.find(fleet, rollout.releaseId, tx))!;
    const { taken, rivals } = await this.executions.lockUndispatched(
      tx,
      fleet,
      id,
      wave.index,
      rollout.slot,
      DISPATCH_CHUNK,
    );
    const candidates = await this.#candidates(tx, rollout, taken);
    const active = await this.#endImpossible(tx, fleet, taken, candidates);
    const superseded = await this.executions.supersede(
      tx,
      fleet,
      rivals,
      active.map((execution) => execution.device),
      id,
    );
    const takenOver = new Map(superseded.filter((old) => old.dispatched).map((old) => [old.device, old.previous]));
    await this.executions.markDispatched(
      tx,
      fleet,
      active.map(({ id: execution, device, current }) => ({
        id: execution,
        previous: takenOver.has(device) ? takenOver.get(device)! : current,
      })),
    );
    const manifest = { digest: release.manifestDigest!, sizeBytes: await this.artifacts.size(release.manifestDigest!) };
    const changes = active.map((execution) => ({
      device: execution.device,
      pipeline: rollout.slot.slice('pipeline:'.length),
      desired: desiredFor(rollout, release, execution, manifest, candidates.get(execution.id)!),
      rollback: rollout.rollback,
    }));
    await this.twins.changePipelines(tx, fleet, changes);
    await this.events.append(
      tx,
      ...superseded.map((old) => executionEvent(fleet, old.rollout, old, 'REMOVED', 'superseded')),
      ...active.map((execution) => executionEvent(fleet, id, execution, 'QUEUED', null)),
    );
    return taken.length;
  }

  /** What each device is offered, by execution. */
  async #candidates(
    tx: Transaction,
    rollout: RolloutRow,
    taken: readonly Dispatchable[],
  ): Promise<Map<string, string[]>> {
    const { fleetId, releaseId } = rollout;
    const offers = await this.candidates.offer(tx, fleetId, releaseId, rollout, taken);
    return new Map(taken.map(({ id }, i) => [id, offers[i]!]));
  }

  /** Ends what can't be dispatched any more, though it could be when the rollout was created. @returns the others */
  async #endImpossible(
    tx: Transaction,
    fleet: string,
    taken: readonly Dispatchable[],
    candidates: ReadonlyMap<string, readonly string[]>,
  ): Promise<Dispatchable[]> {
    const gone = taken.filter((execution) => execution.state !== 'active').map((execution) => execution.id);
    const active = taken.filter((execution) => execution.state === 'active');
    const stranded = active.filter((execution) => candidates.get(execution.id)!.length === 0);
    const ended = [
      ...(await this.executions.end(
        tx,
        fleet,
        gone,
        'REMOVED',
        'device-removed',
        'The device was decommissioned before it was its turn.',
      )),
      ...(await this.executions.end(
        tx,
        fleet,
        stranded.map((execution) => execution.id),
        'REJECTED',
        'no-candidate',
        'The release has no variant for what the device is by now.',
      )),
    ];
    const removed = new Set(gone);
    await this.events.append(
      tx,
      ...ended.map((execution) =>
        removed.has(execution.id)
          ? executionEvent(fleet, execution.rollout, execution, 'REMOVED', 'device-removed')
          : executionEvent(fleet, execution.rollout, execution, 'REJECTED', 'no-candidate'),
      ),
    );
    return active.filter((execution) => !stranded.includes(execution));
  }
}

function desiredFor(
  rollout: RolloutRow,
  release: Release,
  execution: Dispatchable,
  manifest: DesiredPipeline['manifest'],
  candidates: string[],
): DesiredPipeline {
  return {
    release: release.id,
    releaseVersion: release.version,
    ...(rollout.rollback ? { rollback: true } : {}),
    rollout: rollout.id,
    execution: execution.id,
    manifest,
    candidates,
    calibration: null,
  };
}

/** News of an execution, as every writer of one tells it. */
export function executionEvent(
  fleet: string,
  rollout: string,
  execution: { readonly id: string; readonly device: string },
  status: string,
  reason: string | null,
  more: Readonly<Record<string, unknown>> = {},
) {
  return {
    fleet,
    type: 'execution.changed',
    subject: execution.id,
    data: { rollout, device: execution.device, status, reason, ...more },
  };
}
