import { ID_PATTERN, MAX_TWIN_BYTES, desiredStateSchema } from '@drover/contracts';
import type { DesiredPipeline, ResponseOf, api } from '@drover/contracts';
import { CallerError, InternalError } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import type { Transaction } from '../../platform/database/database.ts';
import { NotFoundError } from '../../platform/http/errors.ts';
import { TwinRepository } from './twin.repository.ts';
import type { PipelineChange, PipelineChanged } from './twin.repository.ts';

/** A device's desired state would be larger than a device takes. */
export class TwinTooLargeError extends CallerError {}

/** Key set, envelope and signatures around the document that is stored. */
const SIGNING_RESERVE_BYTES = 8 * 2 ** 10;
/** Of a stored desired document. */
export const MAX_STORED_TWIN_BYTES = MAX_TWIN_BYTES - SIGNING_RESERVE_BYTES;

export type TwinResource = ResponseOf<typeof api.devices.twin>;

/** Desired and reported state of devices. Whatever changes a desired state goes through here. */
@Injectable()
export class TwinService {
  constructor(private readonly twins: TwinRepository) {}

  /** @throws NotFoundError */
  async get(fleet: string, device: string): Promise<TwinResource> {
    const row = ID_PATTERN.test(device) ? await this.twins.find(fleet, device) : null;
    if (!row) throw NotFoundError.of('device', device);
    return {
      device,
      desired: {
        format: 'drover.desired/1',
        pipelines: { ...row.desired.pipelines },
        config: desiredStateSchema.shape.config.parse(row.desired.config),
      },
      epoch: row.epoch,
      version: row.version,
      updatedAt: row.updatedAt.toISOString(),
      reported: row.reported,
      reportedAt: row.reportedAt?.toISOString() ?? null,
      inSync: row.seenEpoch === row.epoch && row.seenVersion === row.version,
    };
  }

  /** Gives a new device an empty twin; a replaced one keeps its desired state. */
  createFor(tx: Transaction, fleet: string, device: string): Promise<void> {
    return this.twins.create(tx, fleet, device);
  }

  /**
   * Sets or (null) clears what one pipeline of a device shall run.
   *
   * @returns what it was to run before
   * @throws NotFoundError, TwinTooLargeError
   */
  async changePipeline(
    tx: Transaction,
    fleet: string,
    device: string,
    pipeline: string,
    desired: DesiredPipeline | null,
    options: { readonly rollback?: boolean } = {},
  ): Promise<DesiredPipeline | null> {
    const change = { device, pipeline, desired, rollback: options.rollback ?? false };
    const [changed] = await this.changePipelines(tx, fleet, [change]);
    return changed!.previous;
  }

  /**
   * The same for a whole wave, one slot per device, in one statement.
   *
   * @returns in the order of `changes`
   * @throws NotFoundError, TwinTooLargeError: the transaction must then be rolled back
   */
  async changePipelines(
    tx: Transaction,
    fleet: string,
    changes: readonly PipelineChange[],
  ): Promise<PipelineChanged[]> {
    if (changes.length === 0) return [];
    if (new Set(changes.map((change) => change.device)).size < changes.length)
      throw new InternalError('A statement changes one slot per device; two changes name the same device.');
    const byDevice = new Map((await this.twins.change(tx, fleet, changes)).map((changed) => [changed.device, changed]));
    return changes.map(({ device }) => {
      const changed = byDevice.get(device);
      if (!changed) throw NotFoundError.of('device', device);
      if (changed.bytes > MAX_STORED_TWIN_BYTES) {
        throw new TwinTooLargeError(
          `The desired state of device "${device}" would be ${changed.bytes} bytes; at most ${MAX_STORED_TWIN_BYTES} can be sent.`,
        );
      }
      return changed;
    });
  }

  /** Has every active device's desired state signed and sent again, as after a rotation of the keys. @returns how many */
  markAllForResend(tx: Transaction): Promise<number> {
    return this.twins.resendAll(tx);
  }
}
