import type { BodyOf, Capture, QueryOf, api } from '@drover/contracts';
import { InvalidInputError, newId } from '@drover/runtime';
import type { FieldProblem } from '@drover/runtime';
import { Injectable } from '@nestjs/common';
import { Config } from '../../../config/config.ts';
import { Database } from '../../../platform/database/database.ts';
import { EventOutbox } from '../../../platform/events/event-outbox.ts';
import { ConflictError, NotFoundError } from '../../../platform/http/errors.ts';
import { Queues } from '../../../platform/queue/queues.ts';
import { DeviceOutboxRepository } from '../../devices/device-outbox.repository.ts';
import { CaptureRepository, toCapture } from './capture.repository.ts';
import type { AskedDevice } from './capture.repository.ts';

export const CAPTURE_QUEUE = 'captures';
export const ADVANCE_CAPTURE_JOB = 'advance';

/** What operators ask of captures. What becomes of the samples is the processor's. */
@Injectable()
export class CaptureService {
  constructor(
    private readonly config: Config,
    private readonly database: Database,
    private readonly captures: CaptureRepository,
    private readonly outbox: DeviceOutboxRepository,
    private readonly queues: Queues,
    private readonly events: EventOutbox,
  ) {}

  async list(
    fleet: string,
    query: QueryOf<typeof api.captures.list>,
  ): Promise<{ items: Capture[]; nextCursor: string | null }> {
    const { items, nextCursor } = await this.captures.list(fleet, query);
    return { items: items.map(toCapture), nextCursor };
  }

  /** @throws NotFoundError */
  async get(fleet: string, id: string): Promise<Capture> {
    const row = await this.captures.find(fleet, id);
    if (!row) throw NotFoundError.of('capture', id);
    return toCapture(row);
  }

  /**
   * Asks devices for their raw samples: a signed command each, whose id is the capture's and so the name of the stream.
   *
   * @throws InvalidInputError naming every device that is not there, was decommissioned or has not the pipeline
   */
  async create(fleet: string, input: BodyOf<typeof api.captures.create>): Promise<Capture> {
    const { name, pipeline, durationMs } = input;
    const id = newId('cap');
    const devices = [...new Set(input.devices)];
    const deadlineAt = new Date(Date.now() + durationMs + this.config.queue.DROVER_CAPTURE_GRACE);
    await this.database.transaction(async (tx) => {
      const asked = await this.captures.asked(tx, fleet, devices, pipeline);
      const problems = input.devices.flatMap((device, i): FieldProblem[] => {
        const message = whyNot(asked.get(device), pipeline);
        return message === null ? [] : [{ path: `devices.${i}`, message }];
      });
      if (problems.length > 0)
        throw new InvalidInputError(problems.map((p) => `${p.path}: ${p.message}`).join('; '), { problems });
      await this.captures.create(tx, fleet, { id, name, pipeline, durationMs, deadlineAt, devices });
      for (const device of devices)
        await this.outbox.command(tx, fleet, device, { type: 'capture', id, pipeline, durationMs });
      await this.events.append(tx, {
        fleet,
        type: 'capture.created',
        subject: id,
        data: { name, pipeline, devices, durationMs },
      });
    });
    return this.get(fleet, id);
  }

  /** Looks after a capture soon. A shortcut: the reconciler does it for all of them. */
  wake(fleet: string, id: string): Promise<void> {
    return this.queues.add(CAPTURE_QUEUE, ADVANCE_CAPTURE_JOB, { fleet, id }, { jobId: `${fleet}.${id}`, again: true });
  }

  /**
   * Ends a capture without a dataset. A device that has begun goes on to its end; what it sends stays among its measurements. Asking
   * twice is asking once.
   *
   * @throws NotFoundError, ConflictError where it has ended otherwise
   */
  async cancel(fleet: string, id: string): Promise<Capture> {
    await this.database.transaction(async (tx) => {
      if (!(await this.captures.end(tx, fleet, id, 'CANCELED'))) return;
      await this.outbox.withdraw(tx, fleet, id);
      await this.events.append(tx, { fleet, type: 'capture.canceled', subject: id });
    });
    const capture = await this.get(fleet, id);
    if (capture.status !== 'CANCELED') throw new ConflictError(`The capture has ended: it is ${capture.status}.`);
    return capture;
  }
}

function whyNot(device: AskedDevice | undefined, pipeline: string): string | null {
  if (!device) return 'there is no such device in this fleet';
  if (device.state !== 'active') return 'was decommissioned';
  return device.hasPipeline ? null : `has no pipeline "${pipeline}"`;
}
